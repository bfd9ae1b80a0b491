"""What a request asks for, whichever of the provider APIs it is written in.

Input tokens are counted by a simple rule: four characters a token over all text of the request
(messages, system text, tool definitions), and three more a message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agentlocust.dialects.answers import Problem
from agentlocust.mock.words import MESSAGE_TOKENS, count_tokens

JSON_OBJECT: dict[str, Any] = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
_TEXT_KEYS = ("text", "content", "output", "arguments", "thinking")


class BadAsk(Exception):
    """A request that the API refuses; `problem` is its reply, `retry_after_s` overrides the behaviour's."""

    retry_after_s: float | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        status: int = 400,
        kind: str = "bad_request",
        code: str | None = None,
    ) -> None:
        self.problem = Problem(status, kind, message, param, code)
        super().__init__(message)

    @classmethod
    def of(cls, problem: Problem) -> BadAsk:
        """The refusal whose reply is `problem`."""
        return cls(problem.message, param=problem.param, status=problem.status, kind=problem.kind, code=problem.code)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool on offer: its name and the JSON Schema of its arguments."""

    name: str
    schema: object


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for a reply. `choice` is `auto`, `none`, `required` or `named` (then one tool is left).

    `answered` is True when a tool's result came after the last words of the user. `thinking` is
    None when the request does not speak of it. `limit` is in output tokens, 0 is none.
    """

    input_tokens: int
    stream: bool
    include_usage: bool
    last_user: str
    limit: int
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    parallel: bool = True
    answered: bool = False
    schema: object = None
    thinking: bool | None = None


def read_chat(body: dict[str, Any]) -> Ask:
    """The ask in a Chat Completions body. Raises BadAsk."""
    messages = _messages(body, "messages")
    if body.get("n", 1) not in (1, None):
        raise BadAsk("This server makes one choice a request: n must be 1.", param="n")
    tools = [
        Tool(str(_dict(tool.get("function")).get("name", "")), _dict(tool.get("function")).get("parameters", {}))
        for tool in _dicts(body.get("tools"))
        if tool.get("type", "function") == "function"
    ]
    choice, named = _choice(body.get("tool_choice"), lambda chosen: _dict(chosen.get("function")).get("name"))
    shape = _dict(body.get("response_format"))
    return Ask(
        input_tokens=_input_tokens(messages, body.get("tools")),
        stream=body.get("stream") is True,
        include_usage=_dict(body.get("stream_options")).get("include_usage") is True,
        last_user=_last_user(messages),
        limit=_limit(body, "max_completion_tokens") or _limit(body, "max_tokens"),
        tools=_left(tools, named),
        choice=choice,
        parallel=body.get("parallel_tool_calls") is not False,
        answered=_answered(messages, lambda message: message.get("role") == "tool"),
        schema=_shape(shape, _dict(shape.get("json_schema")).get("schema")),
    )


def read_responses(body: dict[str, Any]) -> Ask:
    """The ask in a Responses body. Raises BadAsk."""
    given = body.get("input")
    if isinstance(given, str):
        items: list[dict[str, Any]] = [{"role": "user", "content": given}]
    else:
        items = _messages(body, "input")
    tools = [
        Tool(str(tool.get("name", "")), tool.get("parameters") or {})
        for tool in _dicts(body.get("tools"))
        if tool.get("type") == "function"
    ]
    choice, named = _choice(body.get("tool_choice"), lambda chosen: chosen.get("name"))
    shape = _dict(_dict(body.get("text")).get("format"))
    instructions = body.get("instructions")
    said = [{"content": instructions}] if isinstance(instructions, str) else []
    return Ask(
        input_tokens=_input_tokens([*said, *items], body.get("tools")),
        stream=body.get("stream") is True,
        include_usage=True,
        last_user=_last_user(items),
        limit=_limit(body, "max_output_tokens"),
        tools=_left(tools, named),
        choice=choice,
        parallel=body.get("parallel_tool_calls") is not False,
        answered=_answered(items, lambda item: item.get("type") == "function_call_output"),
        schema=_shape(shape, shape.get("schema")),
    )


def read_messages(body: dict[str, Any], *, needs_limit: bool = True) -> Ask:
    """The ask in an Anthropic Messages body. Raises BadAsk."""
    if needs_limit and "max_tokens" not in body:
        raise BadAsk("max_tokens: Field required", param="max_tokens")
    messages = _messages(body, "messages")
    tools = [
        Tool(str(tool["name"]), tool.get("input_schema") or {}) for tool in _dicts(body.get("tools")) if "name" in tool
    ]
    chosen = _dict(body.get("tool_choice"))
    named = chosen.get("name") if chosen.get("type") == "tool" else None
    choice = {"any": "required", "tool": "named", "none": "none"}.get(str(chosen.get("type")), "auto")
    thinking = _dict(body.get("thinking")).get("type")
    said = [{"content": body["system"]}] if body.get("system") else []
    shape = _dict(_dict(body.get("output_config")).get("format")) or _dict(body.get("output_format"))
    return Ask(
        input_tokens=_input_tokens([*said, *messages], body.get("tools")),
        stream=body.get("stream") is True,
        include_usage=True,
        last_user=_last_user(messages),
        limit=_limit(body, "max_tokens"),
        tools=_left(tools, named),
        choice=choice,
        parallel=chosen.get("disable_parallel_tool_use") is not True,
        answered=_answered(messages, _has_tool_result),
        schema=_shape(shape, shape.get("schema")),
        thinking=None if thinking is None else thinking in ("enabled", "adaptive"),
    )


def read_embeddings(body: dict[str, Any]) -> tuple[tuple[int, ...], int]:
    """The token count of each input and the vectors' length in an Embeddings body. Raises BadAsk."""
    given = body.get("input")
    if isinstance(given, str):
        inputs: list[Any] = [given]
    elif isinstance(given, list) and given:
        inputs = [given] if all(isinstance(item, int) for item in given) else given
    else:
        raise BadAsk("Missing required parameter: 'input'.", param="input")
    if len(inputs) > 2048:
        raise BadAsk("'input' has more than 2048 items.", param="input")
    dimensions = body.get("dimensions", 1536)
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or not 1 <= dimensions <= 8192:
        raise BadAsk("'dimensions' must be from 1 to 8192.", param="dimensions")
    return tuple(count_tokens(item) if isinstance(item, str) else len(_list(item)) for item in inputs), dimensions


def clean(text: str) -> str:
    """`text` without halves of surrogate pairs, which no reply could carry."""
    return text.encode("utf-8", "replace").decode()


def _messages(body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = body.get(key)
    if not isinstance(found, list) or not found or not all(isinstance(item, dict) for item in found):
        problem = f"Missing required parameter: '{key}'." if found is None else f"'{key}' must be a list of objects."
        raise BadAsk(problem, param=key)
    return found


def _texts(content: object, depth: int = 0) -> Iterator[str]:
    """Every text in a message's content, whatever its parts are called."""
    if isinstance(content, str):
        yield content
    elif depth < 8:
        if isinstance(content, list):
            for part in content:
                yield from _texts(part, depth + 1)
        elif isinstance(content, dict):
            for key in _TEXT_KEYS:
                yield from _texts(content.get(key), depth + 1)
            for call in _dicts(content.get("tool_calls")):
                yield from _texts(call.get("function"), depth + 1)
            if isinstance(content.get("input"), dict):
                yield json.dumps(content["input"])


def _input_tokens(messages: list[dict[str, Any]], tools: object) -> int:
    total = MESSAGE_TOKENS * len(messages) + sum(count_tokens(text) for text in _texts(messages))
    return total + (count_tokens(json.dumps(tools)) if tools else 0)


def _has_tool_result(message: dict[str, Any]) -> bool:
    return any(part.get("type") == "tool_result" for part in _dicts(message.get("content")))


def _is_user(message: dict[str, Any]) -> bool:
    return message.get("role") == "user" and not _has_tool_result(message)


def _answered(messages: list[dict[str, Any]], is_result: Callable[[dict[str, Any]], bool]) -> bool:
    """True when a tool's result comes after the last words of the user."""
    for message in reversed(messages):
        if is_result(message):
            return True
        if _is_user(message):
            return False
    return False


def _last_user(messages: list[dict[str, Any]]) -> str:
    for message in reversed(messages):
        if _is_user(message):
            return clean("".join(_texts(message.get("content"))))
    return ""


def _choice(chosen: object, name_in: Callable[[dict[str, Any]], object]) -> tuple[str, object]:
    """The tool choice as OpenAI's APIs write it: a word, or an object that names a tool."""
    if isinstance(chosen, dict):
        return "named", name_in(chosen)
    return (chosen, None) if chosen in ("none", "required") and isinstance(chosen, str) else ("auto", None)


def _left(tools: list[Tool], named: object) -> tuple[Tool, ...]:
    """The tools that may be called. Raises BadAsk for the name of a tool that is not there."""
    if named is None:
        return tuple(tools)
    left = tuple(tool for tool in tools if tool.name == named)
    if not left:
        raise BadAsk("The tool named in 'tool_choice' is not in 'tools'.", param="tool_choice")
    return left


def _shape(shape: dict[str, Any], schema: object) -> object:
    """The schema that the reply's text must satisfy; None when it is free."""
    return {"json_schema": schema, "json_object": JSON_OBJECT}.get(str(shape.get("type")))


def _limit(body: dict[str, Any], key: str) -> int:
    value = body.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadAsk(f"'{key}' must be a whole number of at least 1.", param=key)
    return value


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]
