"""Reads embeddings (OpenAI's API reference, "Create embeddings"): always one whole JSON reply."""

from __future__ import annotations

from agentlocust.dialects.base import Decoded, dicts_of, text_of
from agentlocust.dialects.draft import whole_reply
from agentlocust.failures import Failure, FailureKind
from agentlocust.usage import from_openai_embeddings


class NoStream:
    """The reader of a stream that this dialect does not have: whatever comes is a protocol failure."""

    @property
    def so_far(self) -> Decoded:
        """Nothing, ever."""
        return Decoded()

    def feed(self, stamp_ns: int, event: bytes, data: bytes) -> None:
        """Pass over one event."""

    def finish(self, complete: bool) -> Decoded:
        """Say that embeddings are not streamed."""
        return Decoded(failure=Failure(FailureKind.PROTOCOL, "embeddings are not streamed, yet a stream came", 200))


def read_body(body: bytes) -> Decoded:
    """Read a whole reply; the vectors stay in `raw["data"]`. A reply without any is `empty`."""
    reply, decoded = whole_reply(body, "data")
    decoded.id = text_of(reply.get("id"))
    decoded.model = text_of(reply.get("model"))
    usage = reply.get("usage")
    if isinstance(usage, dict):
        decoded.usage = from_openai_embeddings(usage)
    if decoded.failure is None and not any(item.get("embedding") for item in dicts_of(reply["data"])):
        decoded.failure = Failure(FailureKind.EMPTY, "no embedding in the reply", 200)
    return decoded
