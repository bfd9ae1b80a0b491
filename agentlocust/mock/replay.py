"""Serves a cassette: the recorded reply to each request, with its recorded times or faster."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from typing import Any

from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from agentlocust.cassette import Cassette, Recorded, request_of
from agentlocust.mock.exchange import Connection
from agentlocust.mock.schedule import until

MISSED = (b"x-agentlocust-replay", b"missed")
_OWN_LENGTH = frozenset({"content-length", "content-encoding"})


class ReplayApp:
    """Answers the n-th asking of a request with its n-th recorded reply, `speed` times as fast; a miss is a 404."""

    def __init__(self, cassette: Cassette, speed: float, instance: str) -> None:
        self._cassette = cassette
        self._speed = speed
        self._instance = instance
        self._asked: Counter[tuple[str, str, str]] = Counter()
        self._counts: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        connection: Connection = scope["state"]["connection"]
        connection.task = asyncio.current_task()
        try:
            body = await _body(receive)
            arrived = asyncio.get_running_loop().time()
            if body is not None:
                await self._answer(scope, connection, body, arrived, send)
        except asyncio.CancelledError:
            self._counts["aborted"] += 1
        finally:
            connection.task = None

    async def _answer(
        self, scope: HTTPScope, connection: Connection, body: bytes, arrived: float, send: ASGISendCallable
    ) -> None:
        method = scope["method"]
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        if path.startswith("/_replay"):
            if method == "POST":
                self._asked.clear()
                self._counts.clear()
            await _send_json(send, 200, self._report())
            return
        self._counts["requests"] += 1
        request = request_of(method, path, body)
        found = self._cassette.find(request)
        key = (method, path, request.digest)
        number = self._asked[key]
        if number >= len(found):
            self._counts["missed"] += 1
            why = f"agentlocust replay: no reply is recorded to this {method} {path} (sha256 {request.digest[:12]}): "
            if found:
                why += f"it was asked {len(found)} times and this is one more"
            else:
                why += self._cassette.nearest(request)
            error = {"message": why, "type": "agentlocust_replay", "code": "not_recorded"}
            await _send_json(send, 404, {"type": "error", "error": error}, [MISSED, (b"x-should-retry", b"false")])
            return
        self._asked[key] += 1
        await self._play(found[number], arrived, send)
        self._counts["completed"] += 1
        with suppress(asyncio.CancelledError):  # who has every byte may hang up before the end
            await self._end(found[number], connection, arrived, send)

    async def _play(self, recorded: Recorded, arrived: float, send: ASGISendCallable) -> None:
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in recorded.headers
            if name.lower() not in _OWN_LENGTH
        ]
        whole = recorded.ending == "complete" and not recorded.streamed
        if whole:
            size = sum(len(data) for _, data in recorded.pieces)
            if recorded.status not in (204, 304):
                headers.append((b"content-length", b"%d" % size))
        if recorded.synthetic:
            headers.append((b"x-agentlocust-replay", b"synthetic"))
        await until(arrived + recorded.head_s / self._speed)
        status = recorded.status
        await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
        for at, data in recorded.pieces:
            await until(arrived + at / self._speed)
            await send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self, recorded: Recorded, connection: Connection, arrived: float, send: ASGISendCallable) -> None:
        await until(arrived + recorded.end_s / self._speed)
        if recorded.ending == "reset":
            connection.transport.abort()
        elif recorded.ending == "cut":
            connection.transport.close()
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _report(self) -> dict[str, Any]:
        names = ("requests", "completed", "missed", "aborted")
        return {
            "instance": self._instance,
            **{name: self._counts[name] for name in names},
            "recorded": len(self._cassette),
            "left": len(self._cassette) - sum(self._asked.values()),
            "synthetic": self._cassette.synthetic,
        }


async def _body(receive: ASGIReceiveCallable) -> bytes | None:
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


async def _send_json(
    send: ASGISendCallable, status: int, value: object, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = json.dumps(value).encode()
    told = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": told, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
