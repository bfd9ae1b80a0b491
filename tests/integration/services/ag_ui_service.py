"""An AG-UI agent: the official package's models and encoder, on bare ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ag_ui.core import (
    BaseEvent,
    ReasoningMessageContentEvent,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    TokenUsage,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)
from ag_ui.encoder import EventEncoder
from serving import count, serve, with_truth

WORDS = ("It ", "is ", "on ", "its ", "way.")


async def events(asked: RunAgentInput) -> AsyncIterator[BaseEvent]:
    """One run."""
    thread, run = asked.thread_id, asked.run_id
    text = str(asked.messages[-1].content)
    count("messages_seen", len(asked.messages))
    yield RunStartedEvent(thread_id=thread, run_id=run)
    if "fail" in text:
        count("failed")
        yield RunErrorEvent(message="no such order", code="not_found")
        return
    if "tool" in text:
        yield ToolCallStartEvent(tool_call_id="t1", tool_call_name="find_order")
        yield ToolCallArgsEvent(tool_call_id="t1", delta='{"order":')
        yield ToolCallArgsEvent(tool_call_id="t1", delta="42}")
        yield ToolCallEndEvent(tool_call_id="t1")
        yield ToolCallResultEvent(message_id="m0", tool_call_id="t1", content="shipped")
    yield ReasoningMessageContentEvent(message_id="r1", delta="hm")
    yield TextMessageStartEvent(message_id="m1", role="assistant")
    for word in WORDS:
        yield TextMessageContentEvent(message_id="m1", delta=word)
        await asyncio.sleep(0.001)
    yield TextMessageEndEvent(message_id="m1")
    if "cut" in text:
        return
    usage = [TokenUsage(model="gpt-4o-mini", input_tokens=7, output_tokens=5)]
    yield RunFinishedEvent(thread_id=thread, run_id=run, usage=usage)
    count("finished")


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    asked = RunAgentInput.model_validate_json(body)
    count("started")
    encoder = EventEncoder()
    headers = [(b"content-type", encoder.get_content_type().encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for event in events(asked):
        await send({"type": "http.response.body", "body": encoder.encode(event).encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    serve(with_truth(app))
