"""Plays recorded replies to a protocol's turn, in whatever pieces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from agentlocust.dialects.agents.answer import Answer
from agentlocust.dialects.agents.base import AgentProtocol, Conversation, Framing
from agentlocust.dialects.agents.framing import Splitter


def play(
    protocol: AgentProtocol,
    replies: Sequence[tuple[Framing, bytes]],
    *,
    conversation: Conversation | None = None,
    cuts: Sequence[int] = (),
    complete: bool = True,
    **params: object,
) -> Answer:
    """The answer that these replies make, one a request, each cut at `cuts`; stamps count the pieces."""
    turn = protocol.turn("Where is order 42?", conversation if conversation is not None else Conversation(), params)
    answer = Answer()
    stamp = 0
    for number, (framing, body) in enumerate(replies, 1):
        request = turn.request()
        assert request is not None
        splitter = Splitter(framing)
        messages = []
        for start, end in pairwise(sorted({0, *(cut for cut in cuts if 0 < cut < len(body)), len(body)})):
            stamp += 1
            messages += splitter.feed(stamp, body[start:end])
        messages += splitter.flush()
        for message in messages:
            if not answer.ended_ns:
                answer.take(turn.read(message))
        if not answer.ended_ns:
            answer.take(turn.end(stamp, complete=complete or number < len(replies)))
    answer.settle(generates=turn.generates)
    return answer


def told(answer: Answer) -> tuple[object, ...]:
    """All that an answer says, without its stamps; pieces of one text are one."""
    calls = [(call.id, call.name, call.arguments_json) for call in answer.tool_calls]
    failure = (answer.failure.kind, answer.failure.message) if answer.failure is not None else None
    return answer.text, answer.reasoning, calls, answer.results, answer.usages, answer.session_id, failure


def sse(*events: str, name: str = "") -> bytes:
    """Server-sent events of one name."""
    head = f"event: {name}\n" if name else ""
    return "".join(f"{head}data: {event}\n\n" for event in events).encode()
