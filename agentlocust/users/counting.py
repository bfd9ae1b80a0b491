"""Fills in the tokens a server did not tell, off the hub, flagged as estimated."""

from __future__ import annotations

import json
from dataclasses import replace

from gevent.threadpool import ThreadPool

from agentlocust.dialects.base import Decoded
from agentlocust.failures import FailureKind
from agentlocust.tokens import TokenCounter
from agentlocust.usage import Usage
from agentlocust.wire.tap import Outcome

_LONG_TEXT = 20_000  # characters from which counting would hold the hub for milliseconds


class LocalCounter:
    """Counts locally when the server gives no usage.

    An encoding loads at its first need, in a native thread of its own (gevent's shared pool
    resolves names). A call that the end of the test cut is not kept waiting for that.
    """

    def __init__(self) -> None:
        self._counter = TokenCounter()
        self._threads: ThreadPool | None = None

    def complete(self, outcome: Outcome, model: str, body: bytes, *, hurried: bool) -> Usage:
        """The call's usage: the server's, with what it left out counted here."""
        decoded = outcome.decoded
        told = decoded.usage
        failure = outcome.failure
        filtered = failure is not None and failure.kind is FailureKind.CONTENT_FILTER and outcome.status < 300
        whole = failure is None or filtered
        # With the finish reason the server's count is final, whatever became of the stream after it.
        if told is not None and (whole or decoded.terminal or decoded.finish_reason):
            return told
        if not decoded.token_ns and not (whole and outcome.status):
            return told or Usage()  # it failed before anything was generated: nothing is known to be billed
        output, reasoning = self._generated(decoded, model, hurried=hurried)
        if told is not None:  # cut in mid-stream: the server told its input, and perhaps a first count
            return replace(
                told, output=max(told.output, output), reasoning=max(told.reasoning, reasoning), estimated=True
            )
        return Usage(
            uncached_input=self._count_request(body, model, hurried=hurried),
            output=output,
            reasoning=reasoning,
            estimated=True,
        )

    def _generated(self, decoded: Decoded, model: str, *, hurried: bool) -> tuple[int, int]:
        reasoning = self._count(decoded.reasoning, model, hurried=hurried)
        text = decoded.text + decoded.refusal
        text += "".join(call.name + call.arguments_json for call in decoded.tool_calls)
        return reasoning + self._count(text, model, hurried=hurried), reasoning

    def _count_request(self, body: bytes, model: str, *, hurried: bool) -> int:
        self._load(model, hurried=hurried)
        try:
            asked = json.loads(body)
        except ValueError:
            return 0
        return self._counter.count_request(asked, model) if isinstance(asked, dict) else 0

    def _count(self, text: str, model: str, *, hurried: bool) -> int:
        if not text:
            return 0
        self._load(model, hurried=hurried)
        if len(text) > _LONG_TEXT and not hurried:
            return int(self._pool().apply(self._counter.count, (text, model))[0])
        return self._counter.count(text, model)[0]

    def _load(self, model: str, *, hurried: bool) -> None:
        if not hurried and not self._counter.ready(model):
            self._pool().apply(self._counter.load, (model,))

    def _pool(self) -> ThreadPool:
        if self._threads is None:
            self._threads = ThreadPool(1)
        return self._threads
