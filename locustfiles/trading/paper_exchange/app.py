"""The exchange as an ASGI application: reads requests for the venue, sends its answers, breaks connections."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl

from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from paper_exchange.venue import Answer, Request, Venue

MOST = 1024 * 1024  # bytes of a request


class PaperExchange:
    """One venue at a time. `/_venue/…` is for whoever judges: it is neither limited nor counted."""

    def __init__(self, key: str, secret: str) -> None:
        self._key, self._secret = key, secret
        self.venue = Venue(key, secret)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message: Any = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect" or len(body) > MOST:
                return
            if not message.get("more_body"):
                break
        query = scope["query_string"].decode("latin-1")
        target = scope["path"] + (f"?{query}" if query else "")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        transport = scope["state"]["connection"].transport
        query_items = dict(parse_qsl(query))
        request = Request(scope["method"], scope["path"], target, query_items, headers, body, transport.is_closing)
        answer = self._told(request) if request.path.startswith("/_venue/") else await self.venue.answer(request)
        if not answer.status:
            transport.abort()
            await asyncio.sleep(0)  # the server is to notice before we return, or it would answer for us
            return
        told = [(b"content-type", b"application/json"), (b"content-length", str(len(answer.body)).encode())]
        if answer.retry_after:
            told.append((b"retry-after", str(answer.retry_after).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": told})
        await send({"type": "http.response.body", "body": answer.body})

    def _told(self, request: Request) -> Answer:
        """Start a scenario, let its time pass, or tell the truth of it."""
        venue, asked = self.venue, f"{request.method} {request.path}"
        try:
            if asked == "POST /_venue/setup":
                self.venue = venue = Venue(self._key, self._secret, json.loads(request.body))
            elif asked == "POST /_venue/step":
                venue.clock.advance(float(request.query["seconds"]))
            elif asked != "GET /_venue/truth":
                return Answer(404, b"{}")
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            return Answer(400, json.dumps({"error": str(error)}).encode())
        venue.catch_up()
        if asked == "GET /_venue/truth":
            report = venue.truth.report(venue.account, venue.limiter, venue.clock.elapsed())
            return Answer(200, json.dumps(report).encode())
        return Answer(200, json.dumps({"elapsed_s": venue.clock.elapsed()}).encode())
