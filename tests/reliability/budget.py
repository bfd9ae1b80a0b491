"""The budget guard at its worst: $1, 8 workers, 500 users, replies ten times longer than expected.

Who wrote the User expected 50 tokens, the model writes 500: $0.005 a reply. In each trial the mock's truth at the
published price must lie within the budget, and, where nothing was killed, use at least $0.90 of it. Run:
python tests/reliability/budget.py --runs 5
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from studies import study  # isort: skip  # puts the harness on the path

from harness import LocustTest, MockServer, processes_of, wait_until
from sample_locustfiles import chat

BUDGET = Decimal(1)
LEAST = Decimal("0.90")
USERS, WORKERS = 500, 8
SPEC = "ttft=100ms,itl=4ms,tokens=500"
INPUT, OUTPUT = Decimal("2.5") / 10**6, Decimal(10) / 10**6  # dollars a token of gpt-4o, as its provider publishes them
MINI = Decimal("0.15") / 10**6, Decimal("0.60") / 10**6

LIMITED = (
    chat("error_rate < 1%").replace("gpt-4o-mini", "gpt-4o").replace("wait_time", "max_tokens = 1000\n    wait_time")
)
# gpt-4o-mini's largest output, 16,384 tokens, is set aside for each call: a hundred of them at once, ever fewer as
# the money goes. So replies are quick and whole, or it would take minutes.
UNLIMITED = chat("error_rate < 1%").replace('"gpt-4o-mini"', '"gpt-4o-mini@itl=1ms"\n    stream = False')


def cost(truth: dict[str, Any], rates: tuple[Decimal, Decimal]) -> Decimal:
    """What the mock's replies cost, also those that were cut."""
    output = truth["tokens"]["output"] + truth["aborted_tokens"]["output"]
    return truth["tokens"]["input"] * rates[0] + output * rates[1]


def spend(directory: Path, code: str, rates: tuple[Decimal, Decimal], seconds: int) -> list[str]:
    """The test ends by its budget, which is used up to the last call that fits."""
    with MockServer(directory, SPEC) as server, _test(directory, code, server) as test:
        result = test.finish(seconds)
        truth = server.final_truth()
    spent, budget = cost(truth, rates), result.summary["budget"]
    print(f"    ${spent} spent of ${BUDGET}, {truth['requests']} calls, {result.duration_s:.0f} s", flush=True)
    problems = {
        f"exit {result.exit_code}": result.exit_code == 5,
        f"spent {spent}": LEAST <= spent <= BUDGET,
        f"told {budget['spent_usd']} of {spent}": Decimal(budget["spent_usd"]) == spent,
        f"{result.summary['totals']['calls']} calls of {truth['requests']}": result.summary["totals"]["calls"]
        == truth["requests"],
    }
    return [problem for problem, right in problems.items() if not right]


def bereave(directory: Path, kill: Callable[[LocustTest], None]) -> list[str]:
    """Something is killed in the middle: whoever is left stays within the budget, and ends."""
    with MockServer(directory, SPEC) as server, _test(directory, LIMITED, server) as test:
        wait_until(lambda: server.truth()["completed"] >= 40, "a fifth of the budget to be spent", 120)
        kill(test)
        wait_until(lambda: not processes_of(test.mark), "every process to end", 120)
        spent = cost(server.final_truth(), (INPUT, OUTPUT))
    print(f"    ${spent} spent of ${BUDGET}", flush=True)
    return [] if 0 < spent <= BUDGET else [f"spent {spent}"]


def _master(test: LocustTest) -> None:
    test.main.kill()
    test.main.wait()


def _workers(test: LocustTest) -> None:
    for worker in test.workers[:3]:
        worker.kill()
        worker.wait()


def _test(directory: Path, code: str, server: MockServer) -> LocustTest:
    args = ("--budget", f"${BUDGET}", "--host", server.url)
    return LocustTest(directory, code, *args, way="distributed", workers=WORKERS, users=USERS, run_time="300s")


if __name__ == "__main__":
    trials = [
        ("max_tokens 1000, replies of 500", partial(spend, code=LIMITED, rates=(INPUT, OUTPUT), seconds=200)),
        ("no max_tokens, replies of 500", partial(spend, code=UNLIMITED, rates=MINI, seconds=300)),
        ("the master is killed", partial(bereave, kill=_master)),
        ("three workers of eight are killed", partial(bereave, kill=_workers)),
    ]
    study(f"${BUDGET}, {WORKERS} workers, {USERS} users", trials)
