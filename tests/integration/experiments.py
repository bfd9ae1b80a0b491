"""Targets with a known limit, the experiments that look for it, and what their answers are read from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import LocustTest, Result

# A call takes 100 ms: 50 to its first token, then ten gaps.
SPEC = "ttft=50ms,itl=5ms,tokens=11"
SERVICE_S = 0.1
# Twice as long, so that 5 ms of a busy machine's jitter do not decide a check with a margin of 10%.
LONG_SPEC = "ttft=100ms,itl=10ms,tokens=11"
LONG_LIMIT = "p95(latency) < 220ms"

_LOCUSTFILE = """\
from locust import constant, task

from agentlocust import OpenAIUser


class Chat(OpenAIUser):
    model = "gpt-4o-mini"
    wait_time = constant({pause_s:g})

    @task
    def ask(self):
        {body}
"""


def asking(pause_s: float = 0.0, body: str = 'self.chat("Hello")') -> str:
    """A locustfile whose users do the same again and again, with a pause between."""
    return _LOCUSTFILE.format(pause_s=pause_s, body=body)


def experiment(
    directory: Path, shape: str, *args: str, locustfile: str = "", timeout_s: float = 60.0, **settings: Any
) -> Result:
    """A whole test through a shape, which says how long it lasts and with how many users."""
    given = {"users": None, "run_time": "", **settings}
    with LocustTest(directory, locustfile or asking(), "--shape", shape, *args, **given) as test:
        return test.finish(timeout_s)


def finding(result: Result) -> dict[str, Any]:
    """What the shape found, in figures."""
    shape = result.summary["shape"]
    assert shape["complete"], result.output
    figures: dict[str, Any] = shape["figures"]
    return figures


def told(result: Result) -> str:
    """What the shape found, in words."""
    return "; ".join(result.summary["shape"]["sentences"])


def unreadable(result: Result) -> list[str]:
    """What of the summary in the console would not fit a terminal."""
    lines = result.stdout[result.stdout.rindex("\nagentlocust ") + 1 :].splitlines()
    wide = [f"{len(line)} columns: {line}" for line in lines if len(line) > 80]
    return wide + ([f"{len(lines)} lines"] if len(lines) > 30 else [])
