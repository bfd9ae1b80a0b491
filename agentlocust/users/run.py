"""An agent run under way: its conversation, its steps, its verdict."""

from __future__ import annotations

import functools
import math
import random
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import gevent

from agentlocust.backoff import Repeats
from agentlocust.diagnosis import diagnose
from agentlocust.dialects.base import Decoded, Dialect, ToolRequest, ToolResult
from agentlocust.errors import ConfigError
from agentlocust.failures import FailureKind
from agentlocust.faults.catalogue import explains
from agentlocust.ledger import MAX_VALUE
from agentlocust.records import AgentRun, Call, EndReason, Finding, Labels, ToolCall
from agentlocust.steps import Done, ToolStep, digest, items_in, raw_digest, result_text
from agentlocust.tally import Tally
from agentlocust.tool_schemas import ToolReader
from agentlocust.users.observed import Texts, call_step, saving_by
from agentlocust.users.tool import CONTROL_FLOW, CUT, Tool

if TYPE_CHECKING:
    from agentlocust.users.base import AgentUser

__all__ = ["Run", "Tool"]

# What frameworks raise when an agent has used up its turns, by the name of the class.
_MAX_TURNS = frozenset({"MaxTurnsExceeded", "UsageLimitExceeded", "GraphRecursionError", "AgentMaxStepsError"})
_OVER_BUDGET = frozenset({"OverBudget"})
# Tools by which frameworks have a model give its answer: nobody answers them.
_ANSWERING = frozenset({"final_answer", "final_result"})

Scorer = Callable[["Run"], object]
"""Judges a run: True or False, or a number of which more is better."""


class Unjudged(Exception):
    """A scorer could not come to a verdict, through no fault of the run's: it has no score."""


class Run:
    """One agent run, from the user's ask to the final answer: `with self.agent_run("refund") as run:`.

    It succeeds unless a call in it failed, `check` or `score` said so, or the block raised. `messages`
    is the conversation so far, in the provider's own form; `answer` the text of the last reply.
    """

    def __init__(self, user: AgentUser, name: str, dialect: Dialect | None, labels: Labels) -> None:
        self.name = name
        self.messages: list[Any] = []
        self.answer = ""
        self.error = ""
        self.agent = ""  # who acts: the last that was handed to
        self.labels = labels
        self.parent = user.current_run
        self.user = user
        self.tally = Tally()
        # By which an agent's own requests can be told to be this run's.
        self.trace: str = self.parent.trace if self.parent is not None else ""  # of one begun
        self.repeats: Repeats = self.parent.repeats if self.parent is not None else Repeats()
        self._done: Done = self.parent._done if self.parent is not None else Done()
        self._meter = user.meter
        self._dialect = dialect
        self._started_ns = 0
        self._aside_ns = 0  # spent on judging, which is not the agent's time
        self._unanswered: list[ToolRequest] = []
        self._scores: list[float] = []
        self._end: EndReason | None = None
        self._failed_as: EndReason | None = None
        self._abandoned = False
        self._faults: dict[str, None] = {}  # that struck what it called, each once
        self._injected = False  # what failed it
        self._tool_injected = False
        self._tools: ToolReader = _tools_of(type(user))
        self._texts = Texts(user.meter)
        self._bodies: dict[str, bytes] = {}  # how each conversation's last request began

    def tool(self, name: str, *, id: str = "") -> Tool:
        """Time a tool. Its result answers the model's oldest open request for a tool of that name.

        `id` names the request where the model asked for the same tool twice and order is not enough.
        """
        request = next((open_ for open_ in self._unanswered if open_.name == name and id in ("", open_.id)), None)
        if request is not None:
            self._unanswered.remove(request)
        return Tool(self, name, request)

    def check(self, ok: object, why: str = "check failed") -> bool:
        """Judge the run's outcome; the first `why` that fails is the run's error. Returns `bool(ok)`."""
        if not ok:
            self._fail(why, EndReason.CHECK_FAILED)
        return bool(ok)

    def score(self, scorer: Scorer, *, threshold: float = 0.5) -> float | None:
        """Have `scorer(run)` judge the run: True, False or a number, of which less than `threshold` fails it.

        Recorded as `run_score`, and not in the run's time. None when there is no score: the scorer
        raised, which fails the run, or it is a `Judge` that could not be asked, which does not.
        """
        began_ns = time.monotonic_ns()
        number, why = math.nan, ""
        try:
            number = float(scorer(self))  # type: ignore[arg-type]  # what is no number is told below
        except Unjudged:
            return None
        except ConfigError:
            raise
        except Exception as error:  # the user's own code: what it raises is its verdict
            why = f"the scorer raised {type(error).__name__}: {error}"
        finally:
            self._aside_ns += time.monotonic_ns() - began_ns
        if not abs(number) <= MAX_VALUE:  # nan is not
            self.check(ok=False, why=why or f"the scorer gave {number:g}")
            return None
        self._scores.append(number)
        self.check(number >= threshold, f"score {number:g} is below {threshold:g}")
        return number

    def fail(self, why: str) -> None:
        """Mark the run failed; the first reason is kept."""
        self._fail(why, EndReason.ERROR)

    def _fail(self, why: str, reason: EndReason, *, injected: bool | None = None) -> None:
        if not self.error:
            self.error = why or "failed"
            self._failed_as = reason
            self._injected = self._explained(reason) if injected is None else injected

    def _explained(self, reason: EndReason) -> bool:
        """Whether a fault that failed no call of its own accounts for how the agent ended: by what it was told."""
        kind = FailureKind.TIMEOUT if reason is EndReason.TIMEOUT else FailureKind.CHECK
        return self._tool_injected or explains(self._faults, kind)

    def end(self, reason: EndReason | str, why: str = "") -> None:
        """Say why the run ends, e.g. `run.end("max_turns")`; with a `why` it also failed. Raises ValueError."""
        self._end = EndReason(reason)
        self._abandoned |= self._end is EndReason.ABANDONED
        if why:
            self._fail(why, self._end)

    def hand_off(self, to: str) -> None:
        """Another agent takes over; what follows is its doing."""
        self.agent = self._meter.scrubber.name(str(to))
        self.tally.hand_offs.append(self.agent)

    @property
    def calls(self) -> int:
        """LLM calls so far, those of runs inside included; as all figures below."""
        return self.tally.calls

    @property
    def attempts(self) -> int:
        """HTTP tries of the calls so far."""
        return self.tally.attempts

    @property
    def tool_calls(self) -> int:
        """Tool calls so far."""
        return self.tally.tool_calls

    @property
    def tool_errors(self) -> int:
        """Tool calls so far that failed."""
        return self.tally.tool_errors

    @property
    def tokens(self) -> int:
        """Input and output tokens so far."""
        return self.tally.usage.total

    @property
    def cost_picousd(self) -> int | None:
        """What the calls so far cost, in pico-dollars; None when one has no price."""
        return self.tally.cost_picousd

    # -- told by the user class ----------------------------------------------------------------

    def call_ended(self, call: Call, decoded: Decoded | None = None, body: bytes = b"", *, agent: str = "") -> None:
        """Add a call: its record, its reply, and its request's body, in which the tools' schemas are.

        `agent` says whose it is where several act at once; else it is the one last handed to.
        """
        agent = agent or self.agent
        key = f"{agent}/{call.name}"
        schemas = self._tools.schemas(body) if decoded is not None and decoded.tool_calls else {}
        step = call_step(call, decoded, schemas, agent, self._meter.scrubber.clean, repeats=self._repeats(key, body))
        if self._texts.wanted:
            step = self._texts.of_call(step, decoded, body)
        visible = decoded is not None and bool(decoded.text.strip())
        self.tally.add_call(step, visible=visible)
        if decoded is not None and call.ok:
            self.answer = decoded.text
            self._unanswered = list(decoded.tool_calls)
        self._faults.update(dict.fromkeys(call.faults))
        if call.failure is not None and not call.cancelled:
            timed_out = call.failure.kind is FailureKind.TIMEOUT
            reason = EndReason.TIMEOUT if timed_out else EndReason.ERROR
            self._fail(f"call failed: {call.failure.kind}", reason, injected=call.failure.injected)

    def _repeats(self, key: str, body: bytes) -> bool:
        """Whether a request begins as the last of its conversation did."""
        before = self._bodies.get(key, b"")
        if body and len(self._bodies) < _MAX_CONVERSATIONS:
            self._bodies[key] = body[: min(len(body) // 2, _BEGINNING)]
        return bool(before) and body.startswith(before)

    def extend(self, decoded: Decoded) -> None:
        """Continue the conversation with the model's turn."""
        if self._dialect is not None:
            self.messages.extend(self._dialect.reply_messages(decoded))
            self._unanswered = list(decoded.tool_calls)

    def tool_ended(self, tool: Tool, *, cancelled: bool) -> None:
        """Record a tool and continue the conversation with its answer."""
        request, answer = tool.request, tool.answer
        arguments = request.arguments_json if request is not None else ""
        latency = time.monotonic() - tool.started
        items = None if tool.error else items_in(tool.result)
        self._add_tool(tool.name, tool.started, latency, arguments, answer, items, tool.error, self.agent, cancelled)
        if request is not None and self._dialect is not None:
            told = ToolResult(request.id, tool.name, answer, is_error=bool(tool.error))
            self._dialect.add_tool_results(self.messages, [told])

    def tool_seen(
        self,
        name: str,
        started: float,
        latency: float,
        *,
        id: str = "",
        arguments: str = "",
        result: object = None,
        error: str = "",
        cancelled: bool = False,
        agent: str = "",
        faults: tuple[str, ...] = (),
        injected: bool = False,
    ) -> None:
        """Record a tool call that was run elsewhere. `started` is monotonic seconds, `arguments` JSON text.

        `id` is the model's for it, if it asked for it: then it is no longer open. `faults` struck it;
        `injected`: for that it failed.
        """
        self._faults.update(dict.fromkeys(faults))
        self._tool_injected |= injected
        self._unanswered = [ask for ask in self._unanswered if ask.id != id or not id]
        text = result_text(result)
        items = None if error else items_in(result)
        who = agent or self.agent
        self._add_tool(name, started, latency, arguments, text, items, error, who, cancelled, faults, injected)

    def _add_tool(
        self,
        name: str,
        started: float,
        latency: float,
        arguments: str,
        result: str,
        items: int | None,
        error: str,
        agent: str,
        cancelled: bool,
        faults: tuple[str, ...] = (),
        injected: bool = False,
    ) -> None:
        meter = self._meter
        name = meter.scrubber.name(name)
        phase = meter.phase_at(started)
        again = name not in self.user.read_only_tools and self._done.again(name, arguments)
        tool = ToolCall(name, started, latency, error, cancelled, phase, self.labels, again, faults, injected)
        meter.record_tool(tool)
        step = ToolStep(
            name,
            started,
            latency,
            meter.scrubber.sample(error) if error else "",
            digest(arguments),
            raw_digest(result),
            len(result),
            items,
            agent,
            self._texts.of(result) if self._texts.wanted else "",
        )
        self.tally.add_tool(step)

    def request_ended(self, record: AgentRun) -> None:
        """A run inside this one, or a request to an agent that is a service, ended: its figures are this one's too."""
        self.tally.add_run(record)
        self._faults.update(dict.fromkeys(record.faults))
        if record.abandoned:
            self._abandoned, self._end = True, EndReason.ABANDONED
        if record.error:
            self._fail(f"{record.name}: {record.error}", record.end_reason, injected=record.injected)

    # -- from start to end ---------------------------------------------------------------------

    def __enter__(self) -> Self:
        begun_ns = self.user._begin_run() if self.parent is None else 0
        self._started_ns = begun_ns or time.monotonic_ns()
        self.trace = self.trace or self.user.turns.new_trace()
        self.user.current_run = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cancelled = isinstance(error, CUT)
        if error is not None and not cancelled and not isinstance(error, CONTROL_FLOW):
            self._fail(f"{type(error).__name__}: {error}", _reason_of(error))
        record = self._record(cancelled=cancelled)
        self.user.current_run = self.parent
        self._meter.record_run(record)
        if self.parent is None and self.user.load.runs is not None:
            self.user.load.runs.ended(cut=cancelled or record.abandoned)
        if self.parent is not None:
            self.parent._aside_ns += self._aside_ns
            self.parent.request_ended(record)

    def _record(self, *, cancelled: bool) -> AgentRun:
        started, tally = self._started_ns / 1e9, self.tally

        def after(at: float | None) -> float | None:
            return None if at is None else max(at - started, 0.0)

        return AgentRun(
            self.name,
            started,
            (time.monotonic_ns() - self._started_ns - self._aside_ns) / 1e9,
            calls=tally.calls,
            attempts=tally.attempts,
            turns=tally.turns,
            tool_calls=tally.tool_calls,
            tool_errors=tally.tool_errors,
            usage=tally.usage,
            cost_picousd=tally.cost_picousd,
            context_max=tally.context_max,
            context_growth=tally.context_growth(),
            ttfe=after(tally.first_event),
            ttft=after(tally.first_token),
            ttfo=after(tally.first_output),
            first_tool=after(tally.first_tool),
            end_reason=EndReason.CANCELLED if cancelled else self._end_reason(),
            error=self.error,
            cancelled=cancelled,
            abandoned=self._abandoned and not cancelled,
            inside=self.parent is not None,
            scores=tuple(self._scores),
            hand_offs=tuple(tally.hand_offs),
            findings=() if cancelled else self._findings(),
            steps=tuple(tally.steps),
            steps_left_out=tally.steps_left_out,
            asked=self._texts.asked,
            id=random.getrandbits(63),
            phase=self._meter.phase_at(started),
            labels=self.labels,
            faults=tuple(self._faults),
            injected=bool(self.error) and self._injected,
        )

    def _end_reason(self) -> EndReason:
        if self._end is not None:
            return self._end
        wanting = [request for request in self._unanswered if request.name not in _ANSWERING]
        if wanting and self._failed_as in (None, EndReason.CHECK_FAILED):
            return EndReason.MAX_TURNS  # its last reply still asked for tools that nobody ran
        return self._failed_as or EndReason.FINAL

    def _findings(self) -> tuple[Finding, ...]:
        found = diagnose(self.tally.steps, saving_by(self._meter.prices))
        clean = self._meter.scrubber.clean
        return tuple(Finding(each.kind, clean(each.sentence), each.amount) for each in found)


_MAX_CONVERSATIONS = 100  # of a run whose beginnings are remembered
_BEGINNING = 8192  # bytes of a request that are compared with the next


@functools.cache
def _tools_of(cls: type[AgentUser]) -> ToolReader:
    """The reader that the users of one class share: they offer the same tools."""
    return ToolReader()


def _reason_of(error: BaseException) -> EndReason:
    """Why a run ended that raised; frameworks' own exceptions are known by their names, not imported."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & _OVER_BUDGET or getattr(error, "end_reason", "") == EndReason.BUDGET:
        return EndReason.BUDGET
    if names & _MAX_TURNS:
        return EndReason.MAX_TURNS
    timed_out = isinstance(error, (gevent.Timeout, TimeoutError)) or any("Timeout" in name for name in names)
    return EndReason.TIMEOUT if timed_out else EndReason.ERROR
