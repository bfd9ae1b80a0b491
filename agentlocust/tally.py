"""The figures of an agent run while it goes on: sums, first times, and the steps it is made of."""

from __future__ import annotations

from agentlocust.records import AgentRun
from agentlocust.steps import MAX_STEPS, CallStep, RunStep, Step, ToolStep, conversations, growth
from agentlocust.usage import Usage


class Tally:
    """Adds up what happens in a run. Times are monotonic seconds; `cost_picousd` is None once a call has no price."""

    def __init__(self) -> None:
        self.calls = self.attempts = self.turns = self.tool_calls = self.tool_errors = 0
        self.usage = Usage()
        self.cost_picousd: int | None = 0
        self.context_max = 0
        self.first_event: float | None = None
        self.first_token: float | None = None
        self.first_output: float | None = None
        self.first_tool: float | None = None
        self.hand_offs: list[str] = []
        self.steps: list[Step] = []
        self.steps_left_out = 0

    def add_call(self, step: CallStep, *, visible: bool) -> None:
        """A call ended; `visible` when its reply held text that a user can see."""
        self.calls += 1
        self.attempts += step.attempts
        self.turns += not step.failure
        self.context_max = max(self.context_max, step.usage.input)
        self._spend(step.usage, step.cost_picousd)
        if step.ttft is not None:
            self.first_token = earlier(self.first_token, step.started + step.ttft)
        if step.ttfo is not None and visible:
            self.first_output = earlier(self.first_output, step.started + step.ttfo)
        if step.asks:
            self.first_tool = earlier(self.first_tool, step.started + step.latency)
        self._keep(step)

    def add_tool(self, step: ToolStep) -> None:
        """A tool call ended."""
        self.tool_calls += 1
        self.tool_errors += bool(step.error)
        self.first_tool = earlier(self.first_tool, step.started)
        self._keep(step)

    def add_run(self, run: AgentRun) -> None:
        """A run inside this one ended: its figures are this one's too."""
        self.calls += run.calls
        self.attempts += run.attempts
        self.turns += run.turns
        self.tool_calls += run.tool_calls
        self.tool_errors += run.tool_errors
        self.context_max = max(self.context_max, run.context_max)
        self._spend(run.usage, run.cost_picousd)
        self.first_event = earlier(self.first_event, _since(run, run.ttfe))
        self.first_token = earlier(self.first_token, _since(run, run.ttft))
        self.first_output = earlier(self.first_output, _since(run, run.ttfo))
        self.first_tool = earlier(self.first_tool, _since(run, run.first_tool))
        self.hand_offs += run.hand_offs
        left_out = run.steps_left_out
        inner = run.steps[: max(MAX_STEPS - self._size(), 0)]
        self._keep(
            RunStep(
                run.name,
                run.started,
                run.latency,
                run.error,
                run.end_reason.value,
                run.cost_picousd,
                inner,
                left_out + len(run.steps) - len(inner),
            )
        )

    def context_growth(self) -> float | None:
        """Tokens a turn by which the longest conversation's input grew; None for fewer than two turns."""
        talks = conversations(self.steps)
        return growth([call.usage.input for call in talks[0]]) if talks else None

    def _spend(self, usage: Usage, cost_picousd: int | None) -> None:
        self.usage = together(self.usage, usage)
        known = cost_picousd is not None and self.cost_picousd is not None
        self.cost_picousd = (self.cost_picousd or 0) + (cost_picousd or 0) if known else None

    def _size(self) -> int:
        return sum(1 + len(step.steps) if isinstance(step, RunStep) else 1 for step in self.steps)

    def _keep(self, step: Step) -> None:
        if len(self.steps) < MAX_STEPS:
            self.steps.append(step)
        else:
            self.steps_left_out += 1


def together(a: Usage, b: Usage) -> Usage:
    """The sum of two usages, bucket by bucket."""
    return Usage(
        a.uncached_input + b.uncached_input,
        a.cache_read + b.cache_read,
        a.cache_write_5m + b.cache_write_5m,
        a.cache_write_1h + b.cache_write_1h,
        a.output + b.output,
        a.reasoning + b.reasoning,
        a.estimated or b.estimated,
    )


def earlier(known: float | None, at: float | None) -> float | None:
    """The earlier of two times of which either may be unknown."""
    if known is None or at is None:
        return at if known is None else known
    return min(known, at)


def _since(run: AgentRun, after: float | None) -> float | None:
    return None if after is None else run.started + after
