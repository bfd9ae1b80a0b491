"""Reads Anthropic messages, streamed or whole.

Source: Anthropic's API reference, "Streaming messages": message_start, then each block as content_block_start,
_delta and _stop, then message_delta (stop reason, cumulative usage) and message_stop; `ping` and `error`
anywhere.
"""

from __future__ import annotations

from typing import Any

from agentlocust.dialects.base import Decoded, ToolRequest, dict_of, dicts_of, text_of
from agentlocust.dialects.draft import Draft, whole_reply
from agentlocust.dialects.failed import error_message
from agentlocust.failures import FailureKind
from agentlocust.usage import from_anthropic

# The field each delta carries its piece in, and whether the piece is more than reasoning.
_PIECES = {
    "text_delta": ("text", True),
    "input_json_delta": ("partial_json", True),
    "thinking_delta": ("thinking", False),
}


class _Block:
    """One content block: its opening as sent, and the pieces that followed."""

    __slots__ = ("opening", "pieces", "signature")

    def __init__(self, opening: dict[str, Any]) -> None:
        self.opening = opening
        self.pieces: list[str] = []
        self.signature = ""


class MessageReader:
    """Reads one streamed message."""

    def __init__(self, strict: bool = True) -> None:
        self._strict = strict
        self._draft = Draft()
        self._blocks: dict[int, _Block] = {}
        self._start: dict[str, Any] | None = None
        self._delta: dict[str, Any] = {}

    @property
    def so_far(self) -> Decoded:
        """What was told until now; see `StreamReader`."""
        return self._draft.decoded

    def feed(self, stamp_ns: int, event: bytes, data: bytes) -> None:
        """Take one event. What comes after `message_stop` is passed over."""
        if self._draft.decoded.terminal or data == b"[DONE]":  # some gateways add OpenAI's end to it
            return
        chunk = self._draft.event(event, data)
        if chunk is None:
            return
        kind = chunk.get("type") or event.decode("latin-1")
        if kind == "content_block_delta":
            self._block_delta(stamp_ns, chunk.get("index"), dict_of(chunk.get("delta")))
        elif kind == "content_block_start":
            self._block_start(stamp_ns, chunk.get("index"), dict_of(chunk.get("content_block")))
        elif kind == "message_start":
            message = dict_of(chunk.get("message"))
            self._draft.decoded.id = text_of(message.get("id"))
            self._draft.decoded.model = text_of(message.get("model"))
            self._start = dict_of(message.get("usage")) or None
        elif kind == "message_delta":
            reason = dict_of(chunk.get("delta")).get("stop_reason")
            self._draft.decoded.finish_reason = text_of(reason) or self._draft.decoded.finish_reason
            told = dict_of(chunk.get("usage")).items()
            self._delta.update((key, value) for key, value in told if value is not None)
        elif kind == "message_stop":
            self._draft.decoded.terminal = True
        elif kind == "error" or chunk.get("error"):
            self._draft.fail(FailureKind.STREAM_ERROR, error_message(data))

    def finish(self, complete: bool) -> Decoded:
        """Say what the message held."""
        decoded = self._draft.decoded
        if not self._strict and complete and decoded.finish_reason and not decoded.terminal:
            decoded.terminal = decoded.lenient_end = True
        if self._start is not None or self._delta:
            decoded.usage = from_anthropic(self._start or {}, self._delta)
        content = [_whole(block) for block in self._blocks.values()]
        _read_content(content, self._draft)
        return self._draft.finish(complete)

    def _block_start(self, stamp_ns: int, index: Any, opening: dict[str, Any]) -> None:
        number = index if isinstance(index, int) else len(self._blocks)
        self._blocks[number] = _Block(opening)
        kind = opening.get("type")
        if opening.get("name") or (kind == "text" and opening.get("text")):
            self._draft.token(stamp_ns, output=True)
        elif (kind == "thinking" and opening.get("thinking")) or (kind == "redacted_thinking" and opening.get("data")):
            self._draft.token(stamp_ns, output=False)

    def _block_delta(self, stamp_ns: int, index: Any, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        block = self._blocks.get(index) if isinstance(index, int) else next(reversed(self._blocks.values()), None)
        if kind == "signature_delta":
            if block is not None:
                block.signature = text_of(delta.get("signature"))
            return
        if not isinstance(kind, str) or kind not in _PIECES:
            return
        field, output = _PIECES[kind]
        piece = delta.get(field)
        if not isinstance(piece, str) or not piece:
            return
        if block is None:  # a delta without its start
            number = index if isinstance(index, int) else len(self._blocks)
            block = self._blocks[number] = _Block({"type": _OPENED_BY[kind]})
        block.pieces.append(piece)
        self._draft.token(stamp_ns, output)


_OPENED_BY = {"text_delta": "text", "input_json_delta": "tool_use", "thinking_delta": "thinking"}


def _whole(block: _Block) -> dict[str, Any]:
    """A block as a reply that was not streamed would hold it; a tool's input that is no JSON stays text."""
    whole = dict(block.opening)
    joined = "".join(block.pieces)
    kind = whole.get("type")
    if kind == "text":
        whole["text"] = text_of(whole.get("text")) + joined
    elif kind == "thinking":
        whole["thinking"] = text_of(whole.get("thinking")) + joined
        whole["signature"] = block.signature or text_of(whole.get("signature"))
    elif joined:
        whole["input"] = joined
    return whole


def _read_content(content: list[dict[str, Any]], draft: Draft) -> None:
    """Keep what the blocks hold, and the turn they make for the next request."""
    turn = draft.decoded.turn
    for number, block in enumerate(content):
        kind = block.get("type")
        if kind == "text":
            text = text_of(block.get("text"))
            draft.text.append(text)
            if text:  # the API refuses empty texts
                turn.append({"type": "text", "text": text})
        elif kind == "thinking":
            draft.reasoning.append(text_of(block.get("thinking")))
            if block.get("signature"):  # unsigned thinking is refused
                turn.append({key: block.get(key) for key in ("type", "thinking", "signature")})
        elif kind == "tool_use":
            tool_id = text_of(block.get("id")) or f"toolu_{number}"
            slot = draft.tool(number)
            slot.add(tool_id, block.get("name"), block.get("input"))
            call = ToolRequest(tool_id, slot.name, "".join(slot.arguments))
            turn.append({"type": "tool_use", "id": tool_id, "name": call.name, "input": call.arguments})
        elif isinstance(kind, str):  # redacted thinking, tools the server ran: back as they came
            known = block.get("input")
            arguments = ToolRequest("", "", known).arguments if isinstance(known, str) else known
            turn.append(block if known is None else {**block, "input": arguments})


def read_body(body: bytes) -> Decoded:
    """Read a whole message."""
    reply, decoded = whole_reply(body, "content")
    decoded.id = text_of(reply.get("id"))
    decoded.model = text_of(reply.get("model"))
    decoded.finish_reason = text_of(reply.get("stop_reason"))
    usage = reply.get("usage")
    if isinstance(usage, dict):
        decoded.usage = from_anthropic(usage, {})
    if decoded.failure is not None:
        return decoded
    draft = Draft()
    draft.decoded = decoded
    content = dicts_of(reply["content"])
    _read_content(content, draft)
    draft.generated = bool(decoded.turn or any(draft.reasoning))
    return draft.finish(complete=True)
