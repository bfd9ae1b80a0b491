"""What every dialect promises, and the values its replies are read into."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jiter

from agentlocust.errors import ConfigError
from agentlocust.failures import Failure, FailureKind
from agentlocust.usage import Usage

_LARGE = 1 << 20
_MAX_CONTAINERS = 250_000  # an empty one costs Python 56 bytes or more, and its text may be two


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One tool call the model asks for. `arguments_json` is its own text, kept even when it is not JSON."""

    id: str
    name: str
    arguments_json: str

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments as a dict; empty when they are not a JSON object. Decoded at each use."""
        return self._object() or {}

    @property
    def valid(self) -> bool:
        """True when the arguments are a JSON object, or blank (a tool that takes none)."""
        return self._object() is not None

    def _object(self) -> dict[str, Any] | None:
        if not self.arguments_json.strip():
            return {}
        try:
            value = jiter.from_json(self.arguments_json.encode())
        except ValueError:
            return None
        return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered, on its way back to the model. `id` is that of its `ToolRequest`."""

    id: str
    name: str
    content: str
    is_error: bool = False


@dataclass(slots=True)
class Decoded:
    """What one reply held. What is wrong with it stands in `failure`; reading never raises.

    A token event carries generated content of any channel: text, reasoning, refusal, a tool's name
    or arguments. `token_ns` holds the stamp of each in order (empty for a reply that was not
    streamed), `frame_ns` that of each event with choices in it, content or none (chat completions
    only: some tools count from those), `first_output_ns` that of the first with more than reasoning in it (0: none).
    `terminal` is True when the dialect's last event was seen, or, with `lenient_end`, when a lenient
    reader took a finish reason and a whole HTTP body for it. `turn` is the assistant's turn in the
    dialect's own form where text and tool calls alone would not do (signed thinking, encrypted
    reasoning). `raw` is the decoded JSON of a reply that was not streamed.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: list[ToolRequest] = field(default_factory=list)
    usage: Usage | None = None
    model: str = ""
    finish_reason: str = ""
    id: str = ""
    failure: Failure | None = None
    terminal: bool = False
    lenient_end: bool = False
    token_ns: list[int] = field(default_factory=list)
    frame_ns: list[int] = field(default_factory=list)
    first_output_ns: int = 0
    turn: list[dict[str, Any]] = field(default_factory=list)
    raw: Any = None


class StreamReader(Protocol):
    """Reads one reply's events as they arrive."""

    @property
    def so_far(self) -> Decoded:
        """What was told until now: stamps of tokens, finish reason, end. Texts are put together by `finish` only."""

    def feed(self, stamp_ns: int, event: bytes, data: bytes) -> None:
        """Take one event, its data lines already joined. Never raises, whatever the bytes."""

    def finish(self, complete: bool) -> Decoded:
        """Say what the reply held; `complete` when its HTTP body ended as HTTP says it must.

        Of several failures the first on this list is told: an error event or an event that is not
        JSON (whichever came first), no terminal event, a content filter, nothing generated.
        """


class Dialect(Protocol):
    """One provider's way of asking and answering. Stateless: one instance serves every call."""

    @property
    def name(self) -> str:
        """Its name in options and tables, e.g. `openai-chat`."""

    @property
    def path(self) -> str:
        """The path calls are posted to, below the host."""

    @property
    def provider(self) -> str:
        """Whose prices and headers apply: `openai` or `anthropic`."""

    def stream_reader(self, strict: bool = True) -> StreamReader:
        """Give a reader for one streamed reply.

        Strict: a stream without its terminal event is truncated. Lenient: a finish reason and a
        whole HTTP body are an end too, as with compatible servers that send no `[DONE]`.
        """

    def read_body(self, body: bytes) -> Decoded:
        """Read a whole 2xx JSON reply, streaming asked for or not. Never raises."""

    def read_failure(self, status: int, body: bytes) -> Failure:
        """Read an HTTP error reply of any shape. Its message is short and not yet scrubbed."""

    def build(
        self,
        *,
        model: str,
        messages: Sequence[Any],
        system: str = "",
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        max_tokens: int | None = None,
        stream: bool = True,
        params: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Build the request's body. `params` wins over all else; a None in it takes a key out.

        Raises ConfigError for a tool or a choice of tool that cannot be understood.
        """

    def headers(self, key: str) -> dict[str, str]:
        """Name the caller: the headers that carry `key` ("" for a server that asks for none)."""

    def user_message(self, text: str) -> dict[str, Any]:
        """Word what the user says as a message."""

    def reply_messages(self, decoded: Decoded) -> list[dict[str, Any]]:
        """Word a reply as the messages that carry it into the next request."""

    def add_tool_results(self, messages: list[dict[str, Any]], results: Sequence[ToolResult]) -> None:
        """Append what the tools answered to `messages`."""


def decode_json(data: bytes) -> Any:
    """Decode one JSON text; raises ValueError, and nothing else, when it is none or holds too much.

    Half of a surrogate pair is legal JSON that jiter refuses: some servers cut an emoji in two that
    way. It becomes U+FFFD.
    """
    if len(data) > _LARGE and data.count(b"[") + data.count(b"{") > _MAX_CONTAINERS:
        raise ValueError("more arrays and objects than any reply has")
    try:
        return jiter.from_json(data, cache_mode="keys")
    except ValueError:
        if b"\\ud" not in data and b"\\uD" not in data:
            raise
    try:
        text = json.dumps(json.loads(data), ensure_ascii=False)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    return jiter.from_json(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode())


def text_of(value: Any) -> str:
    """`value` when it is a string, else ""."""
    return value if isinstance(value, str) else ""


def dict_of(value: Any) -> dict[str, Any]:
    """`value` when it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def dicts_of(value: Any) -> list[dict[str, Any]]:
    """The JSON objects in `value` when it is an array, else none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def json_text(value: Any) -> str:
    """A tool's arguments as text: a string as it is, nothing as "", anything else written as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def merge_params(body: dict[str, Any], params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Lay `params` over `body`: they win, and a None takes the key out. Returns `body`."""
    for key, value in (params or {}).items():
        if value is None:
            body.pop(key, None)
        else:
            body[key] = value
    return body


def checked_key(key: str) -> str:
    """`key` without the blanks around it; raises ConfigError when no header could carry it."""
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            "the API key holds characters that no HTTP header may carry",
            hint="look for a line break or a stray quote in its environment variable",
        )
    return key


def bearer_headers(key: str) -> dict[str, str]:
    """OpenAI's way of naming the caller; raises ConfigError as `checked_key` does."""
    key = checked_key(key)
    return {"authorization": f"Bearer {key}"} if key else {}


def end_failure(decoded: Decoded, complete: bool, generated: bool) -> Failure | None:
    """Judge a reply that was read to its end without an error in it; see `StreamReader.finish`."""
    if not decoded.terminal:
        how = "ended" if complete else "was cut"
        return Failure(FailureKind.TRUNCATED_STREAM, f"the stream {how} without its terminal event", 200)
    if decoded.finish_reason in ("content_filter", "refusal"):
        return Failure(FailureKind.CONTENT_FILTER, f"finish reason {decoded.finish_reason}", 200)
    if not generated:
        return Failure(
            FailureKind.EMPTY, f"nothing generated, finish reason {decoded.finish_reason or 'not told'}", 200
        )
    return None
