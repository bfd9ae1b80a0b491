"""Reads the Responses API, streamed or whole.

Source: OpenAI's API reference, "Responses: streaming events". Deltas carry the tokens; the last event
(`response.completed`, `.incomplete` or `.failed`) carries the whole response with its usage.
"""

from __future__ import annotations

from typing import Any

from agentlocust.dialects.base import Decoded, dict_of, dicts_of, text_of
from agentlocust.dialects.draft import Draft, whole_reply
from agentlocust.dialects.failed import error_message
from agentlocust.failures import FailureKind
from agentlocust.usage import from_openai_responses

_ENDS = ("response.completed", "response.incomplete", "response.failed")

# Generated content that is neither text nor a function's arguments: counted as tokens, not kept.
_OTHER_DELTAS = frozenset(
    {
        "response.audio.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
        "response.shell_call_command.delta",
    }
)


class ResponseReader:
    """Reads one streamed response. Strictness changes nothing: the last event holds what the call needs."""

    def __init__(self) -> None:
        self._draft = Draft()
        self._items: list[dict[str, Any]] = []  # output items as they were when done
        self._usage: dict[str, Any] | None = None

    @property
    def so_far(self) -> Decoded:
        """What was told until now; see `StreamReader`."""
        return self._draft.decoded

    def feed(self, stamp_ns: int, event: bytes, data: bytes) -> None:
        """Take one event. What comes after the last one is passed over."""
        draft = self._draft
        if draft.decoded.terminal or data == b"[DONE]":  # some servers add the chat API's end to it
            return
        chunk = draft.event(event, data)
        if chunk is None:
            return
        kind = text_of(chunk.get("type")) or event.decode("latin-1")
        if kind.endswith(".delta"):
            self._delta(stamp_ns, kind, chunk)
        elif kind == "response.function_call_arguments.done":
            self._arguments_done(stamp_ns, chunk, chunk.get("arguments"))
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._item(stamp_ns, kind, chunk)
        elif kind == "response.created":
            self._about(dict_of(chunk.get("response")))
        elif kind in _ENDS:
            self._end(stamp_ns, dict_of(chunk.get("response")), failed=kind == "response.failed", data=data)
        elif kind == "error" or chunk.get("error"):
            draft.fail(FailureKind.STREAM_ERROR, error_message(data))

    @property
    def draft(self) -> Draft:
        """The pieces that came until now, for whoever passes them on one by one."""
        return self._draft

    def finish(self, complete: bool) -> Decoded:
        """Say what the response held."""
        decoded = self._draft.decoded
        if self._usage is not None:
            decoded.usage = from_openai_responses(self._usage)
        decoded.turn = _turn(self._items)
        return self._draft.finish(complete)

    def _delta(self, stamp_ns: int, kind: str, chunk: dict[str, Any]) -> None:
        draft, piece = self._draft, chunk.get("delta")
        if not isinstance(piece, str) or not piece:
            return
        output = True
        if kind in ("response.output_text.delta", "response.audio.transcript.delta"):
            draft.text.append(piece)
        elif kind.startswith("response.reasoning"):
            draft.reasoning.append(piece)
            output = False
        elif kind == "response.function_call_arguments.delta":
            draft.tool(_place(chunk)).arguments.append(piece)
        elif kind == "response.refusal.delta":
            draft.refusal.append(piece)
        elif kind not in _OTHER_DELTAS:
            return
        draft.token(stamp_ns, output)

    def _arguments_done(self, stamp_ns: int, chunk: dict[str, Any], arguments: Any) -> None:
        tool = self._draft.tool(_place(chunk))
        if not tool.arguments and tool.add(None, None, arguments):
            self._draft.token(stamp_ns, output=True)

    def _item(self, stamp_ns: int, kind: str, chunk: dict[str, Any]) -> None:
        item = dict_of(chunk.get("item"))
        done = kind == "response.output_item.done"
        if done:
            self._items.append(item)
        if item.get("type") != "function_call":
            return
        tool = self._draft.tool(_place(chunk))
        told = item.get("arguments") if not tool.arguments else None
        name = item.get("name") if not tool.name else None
        if tool.add(item.get("call_id") or item.get("id"), name, told):
            self._draft.token(stamp_ns, output=True)

    def _about(self, response: dict[str, Any]) -> None:
        decoded = self._draft.decoded
        decoded.id = text_of(response.get("id")) or decoded.id
        decoded.model = text_of(response.get("model")) or decoded.model

    def _end(self, stamp_ns: int, response: dict[str, Any], *, failed: bool, data: bytes) -> None:
        draft = self._draft
        draft.decoded.terminal = True
        draft.decoded.finish_reason = _finish_reason(response) or ("failed" if failed else "")
        self._about(response)
        usage = response.get("usage")
        if isinstance(usage, dict):
            self._usage = usage
        if failed:
            draft.fail(FailureKind.STREAM_ERROR, error_message(data))
        output = dicts_of(response.get("output"))
        self._items = output or self._items
        if not draft.generated:  # a server that sent no deltas: all of it came now
            generated = _read_output(self._items, draft)
            if generated:
                draft.token(stamp_ns, output=bool(draft.text or draft.refusal or draft.tools))


def _place(chunk: dict[str, Any]) -> Any:
    """Which output item an event is about."""
    index = chunk.get("output_index")
    return index if isinstance(index, int) else text_of(chunk.get("item_id") or dict_of(chunk.get("item")).get("id"))


def _finish_reason(response: dict[str, Any]) -> str:
    """The reason a response is incomplete, else its status."""
    return text_of(dict_of(response.get("incomplete_details")).get("reason")) or text_of(response.get("status"))


def _read_output(output: list[dict[str, Any]], draft: Draft) -> bool:
    """Keep what whole output items hold; True when anything was generated."""
    generated = False
    for number, item in enumerate(output):
        kind = item.get("type")
        if kind == "function_call":
            tool = draft.tool(number)
            generated |= tool.add(item.get("call_id") or item.get("id"), item.get("name"), item.get("arguments"))
            continue
        parts = dicts_of(item.get("content")) + dicts_of(item.get("summary"))
        channel = draft.reasoning if kind == "reasoning" else draft.text
        for part in parts:
            text, refusal = text_of(part.get("text")), text_of(part.get("refusal"))
            channel.append(text)
            draft.refusal.append(refusal)
            generated |= bool(text or refusal)
        generated |= kind not in ("message", "reasoning") or bool(item.get("encrypted_content"))
    return generated


def _turn(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items that carry a response into the next request.

    Reasoning only when encrypted: its bare id is unknown to a server that stores nothing, and a
    function call that still bears its own id would ask for it.
    """
    turn: list[dict[str, Any]] = []
    for item in items:
        kind = item.get("type")
        if kind == "message":
            kept = ("type", "role", "content", "phase")
        elif kind == "function_call":
            kept = ("type", "call_id", "name", "arguments")
        elif kind in ("reasoning", "compaction") and item.get("encrypted_content"):
            kept = ("type", "id", "summary", "encrypted_content")
        elif kind == "custom_tool_call":
            kept = ("type", "call_id", "name", "input")
        else:
            continue
        turn.append({key: item[key] for key in kept if key in item})
    return turn


def read_body(body: bytes) -> Decoded:
    """Read a whole response."""
    reply, decoded = whole_reply(body, "output")
    decoded.id = text_of(reply.get("id"))
    decoded.model = text_of(reply.get("model"))
    decoded.finish_reason = _finish_reason(reply)
    usage = reply.get("usage")
    if isinstance(usage, dict):
        decoded.usage = from_openai_responses(usage)
    if decoded.failure is not None:
        return decoded
    draft = Draft()
    draft.decoded = decoded
    output = dicts_of(reply["output"])
    draft.generated = _read_output(output, draft)
    decoded.turn = _turn(output)
    if decoded.finish_reason in ("failed", "cancelled"):
        draft.fail(FailureKind.STREAM_ERROR, f"the response has status {decoded.finish_reason}")
    return draft.finish(complete=True)
