"""What the test's services share: they listen on a port of the system's choice and tell what they did."""

from __future__ import annotations

import json
import socket
from typing import Any

import uvicorn

COUNTS: dict[str, int] = {}


def count(name: str, n: int = 1) -> None:
    """Add to a counter of the service's own truth."""
    COUNTS[name] = COUNTS.get(name, 0) + n


async def answer_truth(send: Any) -> None:
    """Answer with the counters, as bare ASGI."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(COUNTS).encode()})


def with_truth(app: Any) -> Any:
    """The app, with its truth at `/_truth`."""

    async def both(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/_truth":
            await answer_truth(send)
        else:
            await app(scope, receive, send)

    return both


def serve(app: Any) -> None:
    """Serve an ASGI app until killed; the first line says where."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="error", access_log=False, timeout_keep_alive=60)
    uvicorn.Server(config).run(sockets=[listener])
