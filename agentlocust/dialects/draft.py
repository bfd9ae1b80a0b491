"""A reply under construction: what every stream reader keeps while events arrive."""

from __future__ import annotations

from typing import Any

from agentlocust.dialects.base import Decoded, ToolRequest, decode_json, end_failure, json_text
from agentlocust.dialects.failed import error_message
from agentlocust.failures import Failure, FailureKind

_NAME_LIMIT = 1024  # a function's name; only hostile servers go near it


class ToolDraft:
    """One tool call whose pieces are still arriving."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def add(self, tool_id: Any, name: Any, arguments: Any) -> bool:
        """Add one piece of any shape; True when it held something generated."""
        if isinstance(tool_id, str) and tool_id and not self.id:
            self.id = tool_id
        generated = False
        if isinstance(name, str) and name and name != self.name and len(self.name) < _NAME_LIMIT:
            self.name += name
            generated = True
        text = json_text(arguments)
        if text:
            self.arguments.append(text)
            generated = True
        return generated


class Draft:
    """The channels, stamps and first failure of one reply."""

    __slots__ = ("decoded", "failure", "generated", "reasoning", "refusal", "text", "token_ns", "tools")

    def __init__(self) -> None:
        self.decoded = Decoded()
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.tools: dict[Any, ToolDraft] = {}
        self.token_ns: list[int] = self.decoded.token_ns
        self.generated = False
        self.failure: Failure | None = None

    def token(self, stamp_ns: int, output: bool) -> None:
        """Count one token event; `output` when it held more than reasoning."""
        self.token_ns.append(stamp_ns)
        self.generated = True
        if output and not self.decoded.first_output_ns:
            self.decoded.first_output_ns = stamp_ns

    def tool(self, place: Any) -> ToolDraft:
        """The tool call at `place`, begun if need be."""
        return self.tools.setdefault(place, ToolDraft())

    def fail(self, kind: FailureKind, message: str) -> None:
        """Note what went wrong; the first failure stands."""
        if self.failure is None:
            self.failure = Failure(kind, message, 200)

    def event(self, event: bytes, data: bytes) -> dict[str, Any] | None:
        """Decode one event to a JSON object, or note why it is none and return None."""
        try:
            value = decode_json(data)
        except ValueError as problem:
            value = problem
        if isinstance(value, dict) and event != b"error":
            return value
        if event == b"error":
            self.fail(FailureKind.STREAM_ERROR, error_message(data))
        elif data.strip():
            reason = f"not JSON, {value}" if isinstance(value, ValueError) else "not a JSON object"
            self.fail(FailureKind.MALFORMED_STREAM, f"an event is {reason}")
        return None

    def finish(self, complete: bool) -> Decoded:
        """Put the pieces together and judge them."""
        decoded = self.decoded
        decoded.text = "".join(self.text)
        decoded.reasoning = "".join(self.reasoning)
        decoded.refusal = "".join(self.refusal)
        decoded.tool_calls = [
            ToolRequest(tool.id or f"call_{number}", tool.name, "".join(tool.arguments))
            for number, tool in enumerate(self.tools.values())
            if tool.id or tool.name or tool.arguments
        ]
        decoded.failure = self.failure or end_failure(decoded, complete, self.generated)
        return decoded


def whole_reply(body: bytes, expected: str) -> tuple[dict[str, Any], Decoded]:
    """Start reading a whole JSON reply: its object, and a `Decoded` that says what is wrong so far.

    `expected` names the key that such a reply must hold as an array.
    """
    decoded = Decoded(terminal=True)
    try:
        value = decode_json(body)
    except ValueError as problem:
        what = f"the reply is not JSON, {problem}" if body.strip() else "the reply has no body"
        decoded.failure = Failure(FailureKind.PROTOCOL, what, 200)
        return {}, decoded
    decoded.raw = value
    if isinstance(value, dict) and isinstance(value.get(expected), list) and not value.get("error"):
        return value, decoded
    if isinstance(value, dict) and (value.get("error") or "error" in (value.get("object"), value.get("type"))):
        decoded.failure = Failure(FailureKind.STREAM_ERROR, error_message(body), 200)
    else:
        decoded.failure = Failure(FailureKind.PROTOCOL, f"the reply is JSON without {expected!r}", 200)
    return (value if isinstance(value, dict) else {}), decoded
