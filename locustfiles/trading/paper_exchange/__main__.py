"""`python -m paper_exchange`: serve on a free port of the loopback until stdin ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from paper_exchange.app import PaperExchange


class Connection(HttpToolsProtocol):
    """A client's connection, which the application may break."""

    def on_message_begin(self) -> None:
        """Hand the application its connection."""
        super().on_message_begin()
        self.scope["state"]["connection"] = self


class Server(uvicorn.Server):
    """uvicorn, ended by a signal with exit code 0, or when whoever started it is gone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at a signal."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stop())
        yield

    def stop(self) -> None:
        """End soon."""
        self.should_exit = True

    def read_stdin(self) -> None:
        """Whoever started the exchange holds its stdin open and never writes."""
        if not os.read(0, 4096):
            asyncio.get_running_loop().remove_reader(0)
            self.stop()


async def serve(listener: socket.socket) -> None:
    """Serve until stopped; says where once it listens."""
    app = PaperExchange(os.environ.get("PAPER_KEY", "paper"), os.environ.get("PAPER_SECRET", "paper"))
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)  # a broken connection is no news here
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=0,
    )
    server = Server(config)
    asyncio.get_running_loop().add_reader(0, server.read_stdin)
    print(f"paper exchange listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)  # noqa: T201
    await server.serve(sockets=[listener])


def main() -> int:
    """Serve on a port of the system's choice."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    asyncio.run(serve(listener))
    return 0


if __name__ == "__main__":
    sys.exit(main())
