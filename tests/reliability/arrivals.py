"""Arrivals against their schedule, and exact numbers of calls: `python tests/reliability/arrivals.py --runs 1`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from studies import study  # isort: skip  # puts the harness on the path

from harness import WAYS, MockServer, run
from open_loops import SPEC, beyond_schedule, critical_distance, distance, gaps_of, offered_rate, play, starts_in
from sample_locustfiles import CHAT_SPEC, chat

KINDS = {
    "chat": 'self.chat("Hello")',
    "SDK": 'self.client.chat.completions.create(model=self.model, messages=[{"role": "user", "content": "Hello"}])',
    "runs": """
                with self.agent_run("talk"):
                    for _ in range(7):
                        self.chat("Hello")
""".strip(),
    "failing": 'self.chat("Hello", model="gpt-4o-mini@errors=500:0.5")',
}


def constant(directory: Path, way: str) -> list[str]:
    """200 users, 20/s: no second has more, and the offered rate is within 1%."""
    args = ("--rate", "20/s", "--arrivals", "constant", "--mock", SPEC)
    result = play(directory, *args, way=way, users=200, run_time="10s").expect(0)
    starts = starts_in(directory)
    return [*beyond_schedule(starts, 20, 10), *_off(result.summary, 20, len(starts))]


def poisson(directory: Path, way: str) -> list[str]:
    """100/s, another seed each time: the gaps are exponential as far as one in a thousand samples would not be."""
    result = play(directory, "--rate", "100/s", "--mock", SPEC, way=way, users=100, run_time="10s").expect(0)
    starts = starts_in(directory)
    gaps = gaps_of(starts, 100)
    found = distance(gaps)
    far = [f"distance {found:.3f} of {len(gaps)} gaps"] if found > critical_distance(len(gaps)) else []
    early = [f"{sum(at < due for due, at in starts)} began early"] if any(at < due for due, at in starts) else []
    return far + early + ([] if len(starts) == result.summary["arrivals"][0]["started"] else ["starts are missing"])


def minute(directory: Path, way: str) -> list[str]:
    """100/min over 60 s: 99 to 101 calls, by the mock's books too."""
    with MockServer(directory, SPEC) as server:
        args = ("--rate", "100/min", "--arrivals", "constant", "--host", server.url)
        result = play(directory, *args, way=way, users=20, run_time="60s").expect(0)
        made = server.final_truth()["requests"]
        told = [] if abs(made - 100) <= 1 else [f"{made} calls in a minute"]
        return told + _off(result.summary, 100 / 60, made)


def exactly(directory: Path, way: str, kind: str) -> list[str]:
    """`--calls 1000` makes 1,000 by the mock's books."""
    with MockServer(directory, CHAT_SPEC) as server:
        locustfile = chat("error_rate < 90%", body=KINDS[kind])
        args = ("--host", server.url, "--calls", "1000")
        result = play(directory, *args, way=way, users=30, locustfile=locustfile).expect(0)
        counts = {"the mock": server.final_truth()["requests"], "the Summary": result.summary["totals"]["calls"]}
        return [f"{counted} by {who}" for who, counted in counts.items() if counted != 1000]


def stall(directory: Path, way: str) -> list[str]:
    """Frozen for 6 of 10 s at 50/s: the open loop's median is over 2 s."""
    spec = "ttft=40ms,itl=1ms,tokens=5,slots=4,freeze=2s+6s"
    args = ("--rate", "50/s", "--arrivals", "constant", "--mock", spec)
    result = run(directory, chat(), *args, way=way, users=500, run_time="10s").expect(0)
    p50 = result.summary["rows"][0]["latency"]["p50"]
    return _off(result.summary, 50, result.summary["totals"]["calls"]) + ([] if p50 >= 2 else [f"p50 {p50:.2f} s"])


def _off(summary: dict[str, object], rate: float, made: int) -> list[str]:
    offered = offered_rate(summary)
    found = [] if abs(offered / rate - 1) <= 0.01 else [f"offered {offered:.3f}/s"]
    (row,) = summary["arrivals"]  # type: ignore[misc]
    counts = {row["offered"], row["started"], made}
    return found + ([] if len(counts) == 1 else [f"offered, started, made: {row['offered']}, {row['started']}, {made}"])


if __name__ == "__main__":
    trials = [(f"{trial.__name__} {way}", partial(trial, way=way)) for trial in (constant, poisson) for way in WAYS]
    trials += [(f"100/min {way}", partial(minute, way=way)) for way in ("local", "processes")]
    trials += [(f"1,000 by {kind} {way}", partial(exactly, way=way, kind=kind)) for kind in KINDS for way in WAYS]
    trials += [(f"stall {way}", partial(stall, way=way)) for way in ("local", "processes", "distributed")]
    study("Arrivals and exact numbers", trials)
