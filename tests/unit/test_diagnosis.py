"""Each detector speaks of its fault and is silent of what only looks like it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from agentlocust.diagnosis import LOOP_CALLS, N_PLUS_1_ITEMS, diagnose
from agentlocust.records import FindingKind
from agentlocust.steps import CallStep, Step, ToolAsk, ToolStep
from agentlocust.usage import Usage


def call(tokens: int = 100, cached: int = 0, **changes: object) -> CallStep:
    usage = Usage(uncached_input=tokens - cached, cache_read=cached, output=5)
    fields: dict[str, object] = {"usage": usage, "cost_picousd": tokens, "repeats": True}
    return CallStep("agent", "m", 0.0, 1.0, **(fields | changes))  # type: ignore[arg-type]


def asking(*names: str, problem: str = "", digest: str = "d") -> CallStep:
    return call(asks=tuple(ToolAsk(name, digest, problem) for name in names))


def tool(name: str, arguments: str = "", result: str = "r", items: int | None = None) -> ToolStep:
    return ToolStep(name, 0.0, 0.1, arguments=arguments, result=result, items=items)


def kinds(steps: list[Step], saving: Fraction | None = Fraction(1, 2)) -> list[FindingKind]:
    return [found.kind for found in diagnose(steps, lambda _: saving)]


def growing(first: int, gain: int, turns: int, faster: float = 1.0) -> list[Step]:
    steps: list[Step] = []
    tokens, step = float(first), float(gain)
    for _ in range(turns):
        steps.append(call(round(tokens)))
        tokens, step = tokens + step, step * faster
    return steps


def test_a_loop_is_the_same_call_without_news() -> None:
    """Asked for by the model, or run, so often; and told with the number."""
    (found,) = diagnose([asking("search") for _ in range(LOOP_CALLS)])
    assert (found.kind, found.amount) == (FindingKind.LOOP, LOOP_CALLS)
    assert found.sentence == "search was called 4 times with the same arguments"
    assert kinds([tool("search", "d") for _ in range(LOOP_CALLS)]) == [FindingKind.LOOP]
    both = [step for _ in range(LOOP_CALLS) for step in (asking("search"), tool("search", "d"))]
    assert diagnose(both)[0].amount == LOOP_CALLS


def test_a_cycle_of_two_tools_is_a_loop_of_each() -> None:
    """Also when something else is called in between."""
    steps: list[Step] = [asking(name) for _ in range(5) for name in ("read", "write")]
    assert kinds(steps) == [FindingKind.LOOP, FindingKind.LOOP]


@pytest.mark.parametrize(
    "steps",
    [
        [asking("search") for _ in range(LOOP_CALLS - 1)],
        [asking("search", digest=f"d{n}") for n in range(20)],
        [asking(f"tool{n}") for n in range(20)],
        [tool("poll", "d", result=f"{n}%") for n in range(20)],  # each answer is news
        [tool("search") for _ in range(20)],  # of which nobody knows the arguments
    ],
)
def test_what_is_no_loop(steps: list[Step]) -> None:
    """Few repetitions, other arguments, other tools, a job that is polled."""
    assert kinds(steps) == []


def test_polling_that_gets_the_same_answer_is_a_loop() -> None:
    """A little news does not excuse it."""
    steps: list[Step] = [tool("poll", "d", result=str(n // 4)) for n in range(8)]
    assert kinds(steps) == [FindingKind.LOOP]


@pytest.mark.parametrize(("items", "calls"), [(8, 8), (10, 8), (8, 10), (N_PLUS_1_ITEMS, N_PLUS_1_ITEMS)])
def test_a_call_for_each_item_is_n_plus_1(items: int, calls: int) -> None:
    """About as many as there were items, each with its own arguments or with none that are known."""
    for named in (True, False):
        steps: list[Step] = [tool("orders", items=items), *(tool("order", f"d{n}" * named) for n in range(calls))]
        (found,) = diagnose(steps)
        assert (found.kind, found.amount) == (FindingKind.N_PLUS_1, calls)
        assert found.sentence == f"orders told of {items} items, then order was called {calls} times, once for each"


@pytest.mark.parametrize(("items", "calls"), [(20, 3), (4, 4), (8, 1), (8, 0), (8, 30), (None, 8), (6, 4)])
def test_what_is_no_n_plus_1(items: int | None, calls: int) -> None:
    """A look at a few, a short list, one call for all, calls that have nothing to do with the list."""
    assert kinds([tool("orders", items=items), *(tool("order", f"d{n}") for n in range(calls))]) == []


def test_calls_before_the_list_or_of_the_listing_tool_are_not_for_its_items() -> None:
    """Reading page after page of a list is one call a page."""
    assert kinds([*(tool("order", f"d{n}") for n in range(8)), tool("orders", items=8)]) == []
    assert kinds([tool("orders", f"page{n}", items=8) for n in range(8)]) == []


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (growing(1000, 1000, 12), "the input grew from 1,000 to 12,000 tokens in 12 calls"),
        ([*growing(1000, 1000, 12), call(9000)], "the input grew from 1,000 to 12,000 tokens in 12 calls"),
        (growing(200, 200, 7, 2.0), "the input grew from 200 to 12,800 tokens in 7 calls, ever faster"),
    ],
)
def test_a_context_that_only_grows_runs_away(steps: list[Step], words: str) -> None:
    """Steadily and far, or ever faster; a last call without tools is no trimming."""
    (found,) = diagnose(steps)
    assert (found.kind, found.sentence) == (FindingKind.RUNAWAY_CONTEXT, words)


@pytest.mark.parametrize(
    "steps",
    [
        growing(500, 400, 12),  # 4,900 tokens: a usual agent
        growing(20_000, 500, 20),  # a long prompt that grows by its answers
        growing(1000, 3000, 4),  # a few large results
        [call(500), call(700), call(1000), call(4500)],  # one large result
        growing(1000, 1000, 12) + growing(1000, 1000, 3),  # trimmed
        [call(1000 * min(n, 8)) for n in range(1, 20)],  # a window that is full
        [call(1000 * n, agent=f"a{n % 6}") for n in range(1, 20)],  # six agents, each with its own
    ],
)
def test_what_is_no_runaway_context(steps: list[Step]) -> None:
    """A context that is small, starts large, is trimmed, or belongs to several agents."""
    assert kinds(steps) == []


def test_invalid_arguments_are_told_with_the_first_reason() -> None:
    """And with how often that tool was asked for so."""
    (found,) = diagnose([asking("find", problem="order is missing"), asking("find", "ok"), asking("ok")])
    assert found.sentence == "find was asked for with arguments it cannot take: order is missing"
    steps: list[Step] = [asking("find", problem="they are not JSON", digest=str(n)) for n in range(3)]
    (found,) = diagnose(steps)
    assert (found.amount, found.kind) == (3, FindingKind.INVALID_ARGUMENTS)
    assert found.sentence == "find was asked for 3 times with arguments it cannot take: they are not JSON"


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([call(attempts=5)], "5 tries were made for 1 call"),
        ([call(attempts=5, failure="rate_limited")], "5 tries were made for 1 call, most for rate_limited"),
        ([*(call(failure="reset") for _ in range(4)), call()], "5 tries were made for 1 call, most for reset"),
        (
            [call(attempts=3, failure="reset"), call(attempts=3), call()],
            "7 tries were made for 2 calls, most for reset",
        ),
    ],
)
def test_a_storm_is_made_of_repetitions(steps: list[Step], words: str) -> None:
    """Of an SDK's attempts, of an agent's own, or of both."""
    (found,) = diagnose(steps)
    assert (found.kind, found.sentence) == (FindingKind.RETRY_STORM, words)


@pytest.mark.parametrize(
    "steps",
    [
        [call(attempts=4)],  # the usual three retries of one call
        [call(attempts=2) for _ in range(3)],
        [*(call() for _ in range(20)), call(attempts=6)],  # one bad call of many
        [call(failure="reset", agent=f"a{n}") for n in range(10)],  # ten agents, each failed once
        [],
    ],
)
def test_what_is_no_storm(steps: list[Step]) -> None:
    """Retries within reason."""
    assert kinds(steps) == []


WARM = [call(2000, 0), call(2100, 1800), call(2200, 1900)]


def test_a_lost_cache_is_told_with_its_price() -> None:
    """The share fell though the prompt began as before, and cached tokens are cheaper."""
    (found,) = diagnose([*WARM, call(2300, 0)], lambda _: Fraction(10**6, 2))
    assert found.kind is FindingKind.CACHE_MISS
    lost = round(1900 / 2200 * 2200) * 10**6 // 2
    assert found.amount == lost
    assert found.sentence.startswith(
        "the cached share fell from 86.4% to 0% though the prompt began as before: $0.0009"
    )


@pytest.mark.parametrize(
    ("steps", "saving"),
    [
        ([*WARM, call(2300, 0)], None),  # no price
        ([*WARM, call(2300, 0)], Fraction(0)),  # cached tokens cost the same
        ([call(2000), call(2100), call(2200)], Fraction(1)),  # no caching is reported at all
        ([*WARM, call(2300, 2000)], Fraction(1)),  # it stays cached
        ([*WARM, call(2300, 1200)], Fraction(1)),  # a part of it does
        ([*WARM, call(2300, 0, repeats=False)], Fraction(1)),  # another prompt
        ([*WARM, call(900, 0)], Fraction(1)),  # a shorter one
        ([call(800), call(900, 800), call(1000, 0)], Fraction(1)),  # too short to be cached
        ([*WARM, call(2300, 0)], Fraction(1, 1000)),  # pennies
    ],
)
def test_what_is_no_lost_cache(steps: list[Step], saving: Fraction | None) -> None:
    """Nothing is said where nothing was lost, or nobody can tell."""
    assert kinds(steps, saving) == []


def test_without_prices_no_cache_is_judged() -> None:
    """A run without steps has no findings either."""
    assert diagnose([*WARM, call(2300, 0)]) == ()
    assert diagnose([]) == ()
