"""Traffic of given sizes that arrives by itself; `--trace FILE` replays a recording, `--dataset FILE` asks its prompts.

locust -f locustfiles/replay.py --headless -t 20s --rate 5/s --prompt-tokens 'lognormal(400,0.5)' --output-tokens 60
"""

from locust import task

from agentlocust import OpenAIUser


class Replay(OpenAIUser):
    model = "gpt-4o-mini"
    sla = ["p95(ttft) < 1s", "p95(latency) < 10s", "error_rate < 1%"]

    @task
    def ask(self):
        self.chat(self.prompt())
