"""Writes what passed into a cassette, once it is over."""

from __future__ import annotations

from pathlib import Path

from agentlocust.cassette import Headers, Writer, request_of
from agentlocust.proxy.heads import Head
from agentlocust.proxy.passage import Passage
from agentlocust.proxy.reading import decoded_chunks, plain_model, secrets_of
from agentlocust.proxy.record import Attempt
from agentlocust.tokens import TokenCounter

_CUT = {"truncated_stream": "cut", "reset": "reset"}


class Recorder:
    """A listener of the books. What never was a reply of the upstream's is not recorded."""

    def __init__(self, path: Path, texts: str) -> None:
        self._counter = TokenCounter()
        self._model = ""
        self._writer = Writer(path, texts, self._count)
        self.left_out = 0

    def __call__(self, passage: Passage, attempt: Attempt) -> None:
        """A passage ended."""
        reply = passage.reply
        whole = passage.complete and passage.problem is None
        if reply is None or passage.own or passage.faults or not passage.readable or passage.left:
            self.left_out += 1
            return
        self._model = plain_model(attempt.model)
        chunks = decoded_chunks(passage)
        headers = _pairs(reply)
        if chunks is None:
            chunks = passage.chunks
        else:
            headers = [pair for pair in headers if pair[0].lower() != "content-encoding"]
        origin = passage.asked_ns or passage.started_ns
        end_ns = passage.ended_ns
        self._writer.add(
            request_of(attempt.method, passage.head.target.decode("latin-1"), passage.asked),
            _pairs(passage.head),
            passage.asked,
            reply.status,
            headers,
            max(passage.first_byte_ns - origin, 0) / 1e9,
            [(max(stamp - origin, 0) / 1e9, data) for stamp, data in chunks],
            max(end_ns - origin, 0) / 1e9,
            ending="complete" if whole else _CUT.get(passage.problem[0] if passage.problem else "", "cut"),
            model=attempt.model,
            output_tokens=attempt.usage.output,
            streamed=b"event-stream" in reply.get(b"content-type").lower(),
            secrets=secrets_of(passage),
        )

    def _count(self, text: str) -> int:
        return self._counter.count(text, self._model)[0]

    def close(self) -> None:
        """The proxy ends."""
        self._writer.close()


def _pairs(head: Head) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
