"""The form that starts a test in Locust's web UI has the pack's options, and they do what they say."""

from __future__ import annotations

import signal

from harness import LocustTest

CHAT = """
from locust import constant, task

from agentlocust import OpenAIUser


class Chat(OpenAIUser):
    wait_time = constant(0.2)

    @task
    def ask(self):
        self.chat("hello")
"""
# Slow enough that a busy machine adds less than a fifth, which is what a spike's recovery is judged by.
MOCK = ("--mock", "ttft=150ms,itl=1ms,tokens=4")


def test_a_shape_is_chosen_in_the_form(page, tmp_path):
    """A misspelt shape is answered in the form and starts nothing; the right one runs to its finding."""
    with LocustTest(tmp_path, CHAT, *MOCK, way="web", users=1) as test:
        test.wait_for_ui()
        page.goto(test.web_url)
        page.get_by_text("Custom parameters").click()
        shape = page.get_by_label("Agentlocust Shape")
        shape.fill("spik")
        start = page.get_by_role("button", name="Start").last
        start.click()
        page.get_by_text("there is no shape 'spik' (did you mean 'spike'?)").wait_for(timeout=10_000)
        assert not test.summary_files()

        shape.fill("spike:baseline=2,spike=8,baseline_time=3s,spike_time=2s,recovery_time=5s")
        start.click()
        page.get_by_text("Statistics", exact=True).first.wait_for(timeout=15_000)
        page.get_by_text("STOPPED", exact=False).first.wait_for(timeout=40_000)
        test.signal(signal.SIGINT, group=False)
        result = test.finish().expect(0)
    phases = [row["name"] for row in result.summary["phase_rows"]]
    assert phases == ["baseline", "spike", "recovery"]
    assert result.summary["shape"]["complete"]
    assert result.summary["shape"]["metrics"]["recovery_time"] is not None
