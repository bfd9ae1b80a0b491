"""An agent in JSON, SSE, NDJSON and over WebSocket, as people write them: uvicorn and websockets, no framework.

Words in what it is asked steer it: `fail`, `slow` (never ends), `cut` (no end mark), `tool`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from serving import count, serve, with_truth

WORDS = ("It ", "is ", "on ", "its ", "way.")
TYPES = {"/json": b"application/json", "/sse": b"text/event-stream", "/ndjson": b"application/x-ndjson"}
SESSIONS: dict[str, int] = {}


def session_of(asked: dict[str, Any]) -> str:
    name = asked.get("session_id") or f"s{len(SESSIONS) + 1}"
    SESSIONS[name] = SESSIONS.get(name, 0) + 1
    count("new_sessions", SESSIONS[name] == 1)
    return name


async def events(asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """What it has to say, event by event."""
    text = asked["message"]
    yield {"type": "start", "session_id": session_of(asked)}
    if "fail" in text:
        count("failed")
        yield {"type": "error", "error": {"message": "no such order"}}
        return
    if "tool" in text:
        yield {"type": "tool", "id": "t1", "name": "find_order", "input": {"order": 42}}
        yield {"type": "tool_result", "id": "t1", "output": "shipped"}
    yield {"type": "thinking", "delta": "hm"}
    for word in WORDS:
        yield {"type": "text", "delta": word}
        await asyncio.sleep(0.001)
    yield {"type": "usage", "usage": {"input_tokens": 7, "output_tokens": 5}}
    if "slow" in text:
        await asyncio.sleep(3600)
    if "cut" not in text:
        yield {"type": "end"}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await talk(receive, send)
    elif scope["type"] == "http":
        await answer(scope["path"], receive, send)


async def answer(path: str, receive: Any, send: Any) -> None:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    asked = json.loads(body)
    if path not in TYPES or "refuse" in asked["message"]:
        status, body = (503, b'{"error": "no more agents"}') if path in TYPES else (404, b"{}")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})
        return
    count("started")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", TYPES[path])]})
    if path == "/json":
        session = session_of(asked)
        told = {"answer": "".join(WORDS), "session": session, "usage": {"prompt_tokens": 7, "completion_tokens": 5}}
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})
        count("finished")
        return
    async for event in events(asked):
        line = json.dumps(event).encode()
        chunk = b"data: " + line + b"\n\n" if path == "/sse" else line + b"\n"
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if event["type"] == "end":
            count("finished")
    await send({"type": "http.response.body", "body": b""})


async def talk(receive: Any, send: Any) -> None:
    await receive()
    count("sockets")
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        asked = json.loads(message["text"])
        count("started")
        if "close" in asked["message"]:
            await send({"type": "websocket.close", "code": 4429, "reason": "too many"})
            return
        async for event in events(asked):
            await send({"type": "websocket.send", "text": json.dumps(event)})
            count("finished", event["type"] == "end")


if __name__ == "__main__":
    serve(with_truth(app))
