"""What the fixed patterns promise, and whether a Summary keeps to it: users second by second, and sums of phases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import LocustTest, MockServer, Result, wait_until

# As they are announced: users, seconds, seconds of ramp-up, seconds between tasks.
PATTERNS = {
    "baseline": (1, 30, 5, 1.0),
    "light_load": (5, 60, 10, 1.0),
    "normal_load": (10, 120, 20, 1.0),
    "heavy_load": (25, 180, 30, 0.5),
    "stress_test": (50, 300, 60, 0.2),
    "spike_test": (100, 60, 5, 0.1),
    "endurance_test": (10, 1800, 30, 2.0),
}
SPEC = "ttft=10ms,itl=1ms,tokens=3"
LOCUSTFILE = """\
from locust import constant, task

from agentlocust import OpenAIUser


class Chat(OpenAIUser):
    model = "gpt-4o-mini"
    wait_time = constant(0.05)

    @task
    def ask(self):
        with self.agent_run("talk"):
            self.chat("Hello")
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Users go from none to `users` in `ramp_s`, which `seconds` includes."""

    users: int
    seconds: float
    ramp_s: float

    @classmethod
    def of(cls, pattern: str, scale: float) -> Plan:
        """A pattern of ours at a time scale; nothing shrinks below a second."""
        users, seconds, ramp_s, _ = PATTERNS[pattern]
        return cls(users, max(seconds * scale, 2.0), max(ramp_s * scale, 1.0))

    def at(self, t: float) -> float:
        """The users wanted `t` seconds into it."""
        return self.users * min(max(t / self.ramp_s, 0.0), 1.0) if self.ramp_s else self.users


def off_plan(summary: dict[str, Any], plan: Plan) -> list[str]:
    """Each second whose users were at no time within a second of it those of the plan, in words."""
    began = summary["phases"][0]["start_s"]
    users_at = {round(point["t"]): point["users"] for point in summary["series"]}
    found = []
    for second in range(math.floor(plan.seconds)):
        # A sample is of some moment of its second.
        least = math.floor(plan.at(second - 1 - began))
        most = max(math.ceil(plan.at(second + 2 - began)), 1)
        users = users_at.get(second)
        if users is None or not least <= users <= most:
            found.append(f"second {second}: {users} users, planned {least} to {most}")
    lasted = summary["phases"][-1]["end_s"] - began
    if not -0.05 <= lasted - plan.seconds <= 1:
        found.append(f"it lasted {lasted:.2f} s, planned {plan.seconds:g} s")
    if summary["test"]["users"] != plan.users:
        found.append(f"{summary['test']['users']} users at most, planned {plan.users}")
    return found


def miscounted(summary: dict[str, Any], truth: dict[str, Any], phases: list[str]) -> list[str]:
    """Every sum over the phases that is not exactly the whole, or not what the mock says, in words."""
    rows, totals = summary["phase_rows"], summary["totals"]
    claims: dict[str, tuple[object, object]] = {
        "phases": ([row["name"] for row in rows], phases),
        "calls and the truth": (totals["calls"], truth["requests"]),
        "runs and the truth": (totals["runs"], truth["requests"]),
        "calls": (sum(row["calls"] for row in rows), totals["calls"]),
        "failed": (sum(row["failed"] for row in rows), totals["failed"]),
        "runs": (sum(row["runs"] for row in rows), totals["runs"]),
        "calls of the series": (sum(point["calls"] for point in summary["series"]), totals["calls"]),
        "shape.complete": (summary["shape"]["complete"], True),
    }
    for row in rows:
        of_phase = [each for each in summary["rows"] if each["kind"] == "LLM" and each["phase"] == row["name"]]
        claims[f"calls of {row['name']}"] = (sum(each["count"] for each in of_phase), row["calls"])
    return [f"{name}: {ours} against {true}" for name, (ours, true) in claims.items() if ours != true]


def play(directory: Path, server: MockServer, shape: str, scale: float, way: str) -> Result:
    """A shape from its start to its own end; in `web` as the form starts it."""
    form = {"agentlocust_shape": shape, "agentlocust_time_scale": f"{scale:g}"}
    args = () if way == "web" else ("--shape", shape, "--time-scale", f"{scale:g}")
    with LocustTest(directory, LOCUSTFILE, "--host", server.url, *args, way=way, users=None, run_time="") as test:
        if way == "web":
            test.wait_for_ui()
            test.swarm(**form)
            wait_until(test.summary_files, "summary.json", 120)
            test.signal(2, group=False)
        return test.finish(120)


def keeps_to(directory: Path, pattern: str, scale: float, way: str) -> list[str]:
    """What a pattern did not keep to in one mode, in words."""
    with MockServer(directory, SPEC) as server:
        result = play(directory, server, pattern, scale, way).expect(0)
        found = off_plan(result.summary, Plan.of(pattern, scale))
        return found + miscounted(result.summary, server.final_truth(), ["ramp-up", "steady"])
