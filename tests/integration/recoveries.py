"""One outage of a target: when it was over as the target knows it and as its callers felt it, and what is reported."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from harness import MockServer, run
from outages import AGENT, Answer, Seen, began, outages, relay

WITHIN_S = 1.0
BEGINS_S = 4.0  # of the test
USERS = 10
LONGEST_WAIT_S = 8.0  # of the SDK's
# Who breaks the target, and how its callers bear it.
KINDS = (
    ("server", "naive"),
    ("server", "sdk"),
    ("mock", "jitter"),
    ("mock", "fixed"),
    ("plan", "jitter"),
)
_LOOK_S = 1.0  # in which things must be as before


@dataclass(frozen=True, slots=True)
class Recovery:
    """An outage of so many seconds; when it was over, in seconds of the test, and as the report says."""

    kind: str
    lasted_s: float
    back_s: float
    felt_s: float
    told_back_s: float | None
    told_felt_s: float | None
    sentence: str

    def problems(self) -> list[str]:
        """Which of the two instants is not within a second, in words."""
        pairs = (("target back", self.back_s, self.told_back_s), ("recovered", self.felt_s, self.told_felt_s))
        return [
            f"{what} {'never' if told is None else f'at {told:.2f} s'}, truly at {true:.2f} s: {self.sentence}"
            for what, true, told in pairs
            if told is None or abs(told - true) > WITHIN_S
        ]


def recovery(directory: Path, seed: int) -> Recovery:
    """A test with an outage of two to eight seconds, of which the window that is told may hold only a part.

    `server` and `mock` answer 503; `plan` is a fault plan of the test's own, that refuses connections.
    """
    rng = random.Random(seed)
    place, manner = KINDS[seed % len(KINDS)]
    lasted_s = rng.uniform(2.0, 8.0)
    ends_s = BEGINS_S + lasted_s
    told_s = ends_s if place == "plan" else rng.uniform(max(ends_s - 3.0, BEGINS_S + 1.0), ends_s)
    window = ("--resilience-windows", f"outage@{BEGINS_S}s-{told_s:.3f}s")
    args = ("--sla", "availability > 0%")
    run_time = f"{round(ends_s + (LONGEST_WAIT_S if manner == 'sdk' else 0.0) + 6.0)}s"
    settings = {"users": USERS, "run_time": run_time, "env": {"MANNER": manner, "OPENAI_API_KEY": "sk-none"}}
    if place == "server":
        with outages([(BEGINS_S, ends_s)]) as target, relay(target.url) as seen:
            result = run(directory, AGENT, "--host", seen.url, *window, *args, **settings).expect(0)
        back = target.back_at()
    else:
        span = f"@{BEGINS_S}s-{ends_s:.3f}s"
        faults = f"overloaded(){span}" if place == "mock" else ""
        here = window if place == "mock" else ("--faults", f"refused(){span}")
        with MockServer(directory, "ttft=40ms,itl=1ms,tokens=3", faults=faults) as mock, relay(mock.url) as seen:
            result = run(directory, AGENT, "--host", seen.url, *here, *args, **settings).expect(0)
        # The mock's own clock began with the first request, the plan's with the test.
        back = (min(seen.arrived) if place == "mock" else began(result.stdout)) + ends_s
    zero = began(result.stdout)
    (found,) = result.summary["resilience"]["windows"]
    ended_s = found["end_s"]
    return Recovery(
        f"{place}, {manner}",
        lasted_s,
        back - zero,
        felt_at(seen, back, sdk=manner == "sdk") - zero,
        None if found["target_back_s"] is None else ended_s + found["target_back_s"],
        None if found["recovery_s"] is None else ended_s + found["recovery_s"],
        found["sentence"],
    )


def felt_at(seen: Seen, back: float, *, sdk: bool) -> float:
    """From when on, the target being back, every call that ends within a second does so as well as before the outage.

    A call of the SDK's is one with what it tries again, on the same connection, and takes as long.
    """
    ended: list[tuple[float, bool]] = []
    last: dict[int, Answer] = {}
    for answer in seen.answered:
        before = last.get(answer.connection)
        good = answer.status == 200
        if not sdk:
            ended.append((answer.at, good))
        elif good:
            ended.append((answer.at, before is None or before.status == 200))
        last[answer.connection] = answer
    troubled = [at for at, good in ended if not good]
    for at, good in ended:
        if at >= back and good and not any(at <= trouble < at + _LOOK_S for trouble in troubled):
            return at
    raise AssertionError("the wire saw no recovery")
