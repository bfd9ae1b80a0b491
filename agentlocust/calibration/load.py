"""The locustfile that calibration runs: streams that never pause, started spread over one reply."""

import os

import gevent
from locust import constant, task

from agentlocust import OpenAIUser

SPREAD_S = float(os.environ.get("AGENTLOCUST_CALIBRATION_SPREAD_S", "1"))


class Stream(OpenAIUser):
    """One stream after the other, as fast as they come."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Fall out of step with the others: in step, all replies would end at once and wait in line."""
        gevent.sleep(self.random.uniform(0, SPREAD_S))

    @task
    def read(self) -> None:
        """One call."""
        self.chat([{"role": "user", "content": "Tell me a story."}], name="calibration")
