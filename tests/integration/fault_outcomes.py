"""What each official SDK does with each fault: asked over real sockets, told as the table of the faults' README.

`python tests/integration/fault_outcomes.py` prints the table.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai

import harness
from agentlocust.faults.catalogue import FAULTS
from agentlocust.faults.fault import Group

TOKENS = 8
SEED = 5
TIMEOUT_S = 1.0  # of the clients
SPEC = f"ttft=5ms,itl=1ms,tokens={TOKENS},tools=never"
LINES = {
    "rate_limit": "rate_limit(retry_after=100ms)",
    "timeout": "timeout()",
    "bandwidth": "bandwidth(rate=100KB)",
    "latency": "latency(delay=100ms)",
    "slow_first_token": "slow_first_token(delay=100ms)",
    "stall": "stall(after=3,for=2s)",
    "drip": "drip(gap=10ms)",
    "cut": "cut(after=5)",
    "length": "length(tokens=4)",
}
NAMES = [name for name, fault in FAULTS.items() if fault.group is not Group.LOCAL]
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WAYS = ("openai chat", "openai responses", "anthropic")
# Real ones, which no server can make: nobody listens at port 9, and this name is never found.
ELSEWHERE = {"refused": "http://127.0.0.1:9", "dns_failure": "http://nowhere.invalid"}


def plan() -> str:
    """Every fault, each for the user of its number."""
    lines = (LINES.get(name, f"{name}()") for name in NAMES)
    return ", ".join(f"{line}{{user={number}}}" for number, line in enumerate(lines))


def outcomes(url: str) -> dict[tuple[str, str], str]:
    """What came of each fault, in each way, against a mock that carries out `plan()`."""
    with ThreadPoolExecutor(12) as pool:
        asked = {
            (name, way): pool.submit(_outcome, way, ELSEWHERE.get(name, url), number)
            for number, name in enumerate(NAMES)
            for way in WAYS
        }
        return {key: future.result() for key, future in asked.items()}


def table(found: dict[tuple[str, str], str]) -> str:
    """The outcomes as Markdown."""
    lines = ["| fault | " + " | ".join(WAYS) + " |", "|---|" + "---|" * len(WAYS)]
    lines += ["| " + " | ".join((f"`{name}`", *(found[name, way] for way in WAYS))) + " |" for name in NAMES]
    return "\n".join(lines) + "\n"


def _outcome(way: str, url: str, number: int) -> str:
    sent: list[int] = []

    def count(request: httpx2.Request) -> None:
        request.headers["x-agentlocust-who"] = f"{number}.0.0.{len(sent)}"
        sent.append(1)

    with httpx2.Client(event_hooks={"request": [count]}, trust_env=False, timeout=TIMEOUT_S) as client:
        items: list[Any] = []
        try:
            told = _ASK[way](url, client, items)
        except Exception as error:
            told = f"{_class(error)} after {_items(items)}" if items else _class(error)
        attempts = "" if len(sent) == 1 else f", {len(sent)} attempts"
        return told + attempts


def _items(items: list[Any]) -> str:
    return "1 event" if len(items) == 1 else f"{len(items)} events"


def _class(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    package = type(error).__module__.partition(".")[0]
    name = f"{package}.{type(error).__name__}"
    return f"`{name}`" + (f" {status}" if status else "")


def _chat(url: str, client: httpx2.Client, items: list[Any]) -> str:
    sdk = openai.OpenAI(api_key="k", base_url=f"{url}/v1", http_client=client, max_retries=1)
    stream = sdk.chat.completions.create(
        model="m",
        messages=[
            {"role": "user", "content": "x"},
            {"role": "assistant", "tool_calls": [_chat_call()]},
            {"role": "tool", "tool_call_id": "c1", "content": '{"t": 20}'},
        ],
        tools=[{"type": "function", "function": {"name": "weather", "parameters": TOOL}}],
        stream=True,
        stream_options={"include_usage": True},
    )
    _take(stream, items)
    choices = [choice for item in items for choice in item.choices]
    reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
    words = [choice for choice in choices if choice.delta.content]
    calls = [call for choice in choices for call in choice.delta.tool_calls or ()]
    usage = any(item.usage for item in items)
    return _told(
        len(words), "".join(call.function.arguments for call in calls), reasons, usage, items[0].model if items else ""
    )


def _take(stream: Any, items: list[Any]) -> None:
    """Every event, also those before it broke."""
    for item in stream:
        items.append(item)  # noqa: PERF402


def _chat_call() -> Any:
    return {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


def _responses(url: str, client: httpx2.Client, items: list[Any]) -> str:
    sdk = openai.OpenAI(api_key="k", base_url=f"{url}/v1", http_client=client, max_retries=1)
    stream = sdk.responses.create(
        model="m",
        input=[
            {"role": "user", "content": "x"},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": '{"t": 20}'},
        ],
        tools=[{"type": "function", "name": "weather", "parameters": TOOL, "strict": False}],
        stream=True,
    )
    _take(stream, items)
    words = [item for item in items if item.type == "response.output_text.delta"]
    arguments = "".join(item.delta for item in items if item.type == "response.function_call_arguments.delta")
    last = [item.response for item in items if item.type in ("response.completed", "response.incomplete")]
    reasons = [end.incomplete_details.reason if end.incomplete_details else end.status for end in last]
    usage = any(end.usage for end in last)
    model = items[0].response.model if items and hasattr(items[0], "response") else ""
    return _told(len(words), arguments, reasons, usage, model)


def _messages(url: str, client: httpx2.Client, items: list[Any]) -> str:
    sdk = anthropic.Anthropic(api_key="k", base_url=url, http_client=client, max_retries=1)
    messages: list[Any] = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": '{"t": 20}'}]},
    ]
    stream = sdk.messages.create(
        model="m", max_tokens=100, messages=messages, tools=[{"name": "weather", "input_schema": TOOL}], stream=True
    )
    _take(stream, items)
    deltas = [item.delta for item in items if item.type == "content_block_delta"]
    words = [delta for delta in deltas if delta.type == "text_delta"]
    arguments = "".join(delta.partial_json for delta in deltas if delta.type == "input_json_delta")
    ends = [item for item in items if item.type == "message_delta"]
    model = items[0].message.model if items and items[0].type == "message_start" else ""
    usage = any(getattr(end, "usage", None) for end in ends)
    return _told(len(words), arguments, [end.delta.stop_reason for end in ends], usage, model)


def _told(words: int, arguments: str, reasons: list[str], usage: bool, model: str) -> str:
    parts = [f"ok, {words} tokens" if words or not arguments else f"ok, arguments `{arguments}`"]
    parts.append(reasons[0] if reasons else "no finish reason")
    parts += [] if usage else ["no usage"]
    parts += [f"model {model}"] if model not in ("m", "") else []
    return ", ".join(parts)


_ASK: dict[str, Callable[[str, httpx2.Client, list[Any]], str]] = {
    "openai chat": _chat,
    "openai responses": _responses,
    "anthropic": _messages,
}


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, harness.MockServer(Path(folder), SPEC, plan(), SEED) as mock:
        sys.stdout.write(table(outcomes(mock.url)))


if __name__ == "__main__":
    main()
