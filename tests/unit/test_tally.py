"""A run's figures while it goes on."""

from __future__ import annotations

from agentlocust.records import AgentRun, EndReason
from agentlocust.steps import MAX_STEPS, CallStep, RunStep, ToolAsk, ToolStep
from agentlocust.tally import Tally, earlier, together
from agentlocust.usage import Usage


def call(started: float = 0.0, tokens: int = 100, **changes: object) -> CallStep:
    fields: dict[str, object] = {"ttft": 0.5, "ttfo": 0.75, "usage": Usage(uncached_input=tokens), "cost_picousd": 10}
    return CallStep("a", "m", started, 1.0, **(fields | changes))  # type: ignore[arg-type]


def test_calls_and_tools_add_up() -> None:
    """Sums, the largest context, its growth, and the first times of each kind."""
    tally = Tally()
    tally.add_call(call(10.0, asks=(ToolAsk("t", ""),), attempts=3), visible=False)
    tally.add_tool(ToolStep("t", 11.5, 1.0, error="boom"))
    tally.add_call(call(12.0, 160), visible=True)
    tally.add_call(call(13.0, 90, failure="reset", ttft=None, ttfo=None), visible=False)
    assert (tally.calls, tally.attempts, tally.turns, tally.tool_calls, tally.tool_errors) == (3, 5, 2, 1, 1)
    assert (tally.usage.input, tally.cost_picousd, tally.context_max, tally.context_growth()) == (350, 30, 160, 60.0)
    # The first token was a tool's argument, which nobody sees; the tool was asked for when that call ended.
    assert (tally.first_token, tally.first_output, tally.first_tool) == (10.5, 12.75, 11.0)


def test_a_price_that_is_not_known_makes_the_sum_unknown() -> None:
    """And it stays so."""
    tally = Tally()
    for cost in (5, None, 7):
        tally.add_call(call(cost_picousd=cost), visible=True)
    assert tally.cost_picousd is None


def test_a_run_inside_is_a_part() -> None:
    """Its figures are added once, its times count from the outer start, its steps are a branch."""
    inner = AgentRun(
        "inner", 20.0, 2.0, calls=2, attempts=3, turns=2, tool_calls=1, usage=Usage(output=9), cost_picousd=4,
        context_max=50, ttft=0.5, hand_offs=("b",), end_reason=EndReason.TIMEOUT, error="slow",
        steps=(call(20.0),), steps_left_out=1,
    )  # fmt: skip
    tally = Tally()
    tally.add_run(inner)
    assert (tally.calls, tally.attempts, tally.turns, tally.usage.output, tally.cost_picousd) == (2, 3, 2, 9, 4)
    assert (tally.first_token, tally.context_max, tally.hand_offs) == (20.5, 50, ["b"])
    assert tally.steps == [RunStep("inner", 20.0, 2.0, "slow", "timeout", 4, inner.steps, 1)]


def test_steps_are_bounded_and_those_beyond_are_counted() -> None:
    """An agent without end keeps the memory of a worker in bounds; nothing goes missing from the sums."""
    tally = Tally()
    for _ in range(MAX_STEPS + 30):
        tally.add_call(call(), visible=True)
    assert (tally.calls, len(tally.steps), tally.steps_left_out) == (MAX_STEPS + 30, MAX_STEPS, 30)
    outer = Tally()
    for _ in range(3):
        outer.add_run(AgentRun("inner", 0.0, 1.0, steps=tuple(tally.steps)))
    kept = [len(step.steps) for step in outer.steps if isinstance(step, RunStep)]
    assert sum(kept) <= MAX_STEPS
    assert sum(kept) + sum(step.steps_left_out for step in outer.steps if isinstance(step, RunStep)) == 3 * MAX_STEPS


def test_small_sums() -> None:
    """Usages bucket by bucket; of two times the one that is known, or the earlier."""
    assert together(Usage(1, 2, 3, 4, 5, 6), Usage(10, 20, 30, 40, 50, 60, estimated=True)) == Usage(
        11, 22, 33, 44, 55, 66, estimated=True
    )
    assert [earlier(*pair) for pair in ((None, None), (None, 1.0), (2.0, None), (2.0, 1.0))] == [None, 1.0, 2.0, 1.0]
