"""Where requests go, and who is asked before and told after."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentlocust.failures import FailureKind
from agentlocust.faults.about import heard
from agentlocust.faults.injection import WHO, Asked, Injection, Injector
from agentlocust.proxy.heads import Head, made
from agentlocust.proxy.link import Link
from agentlocust.proxy.passage import Passage
from agentlocust.proxy.reading import plain_model
from agentlocust.proxy.runs import place_of
from agentlocust.wire.target import Origin, Target

if TYPE_CHECKING:
    from agentlocust.proxy.client import Client
    from agentlocust.proxy.guard import Guard

CONNECT_S = 10.0
FIRST_BYTE_S = 600.0
TOTALS_PATH = b"/_proxy"
_READABLE = frozenset({"gzip", "x-gzip", "deflate", "identity"})


@dataclass(frozen=True, slots=True)
class Route:
    """Where one request goes: the tool whose API it is of ("" for the models'), the upstream, the path there."""

    tool: str
    target: Target
    path: str


@dataclass(slots=True)
class Gateway:
    """What all connections share. `ended` is told each passage that is over; `injector` decides on faults.

    `tools` are mounted below `/NAME/`; all else goes to `upstream`. `totals` gives what `GET /_proxy` answers.
    `beside_test`: for what is marked as metered, the test's own user who asks has set the money aside.
    """

    upstream: Target
    tell: Callable[[Passage], None]
    tools: Mapping[str, Target] = field(default_factory=dict)
    injector: Injector | None = None
    guard: Guard | None = None
    beside_test: bool = False
    copies_all: bool = False
    timeout_s: float = FIRST_BYTE_S
    totals: Callable[[], object] = dict
    began_ns: int = field(default_factory=time.monotonic_ns)
    phase: str = ""
    clients: set[Client] = field(default_factory=set)
    _tls: ssl.SSLContext | None = None
    _calls: dict[str, int] = field(default_factory=dict)

    def route(self, head: Head) -> Route:
        """Where a request goes."""
        path = head.target.decode("latin-1")
        if not path.startswith("/"):  # absolute form: what is before the path was us
            path = "/" + path.partition("://")[2].partition("/")[2]
        name, slash, rest = path[1:].partition("/")
        target = self.tools.get(name.partition("?")[0])
        if target is not None:
            query = "" if slash else name.partition("?")[2]
            return Route(name.partition("?")[0], target, f"{target.prefix}/{rest}" + (f"?{query}" if query else ""))
        return Route("", self.upstream, self.upstream.path_of(path))

    def own_reply(self, head: Head) -> bytes | None:
        """The reply to a request that is for the proxy itself."""
        if head.target != TOTALS_PATH or head.method != b"GET":
            return None
        return made(200, b"OK", [(b"Content-Type", b"application/json")], json.dumps(self.totals()).encode())

    def limit_encodings(self, head: Head) -> None:
        """Let a model's reply come in no encoding that its copy could not be read in."""
        asked = head.text(b"accept-encoding")
        if not asked:
            return
        words = [word.strip() for word in asked.split(",")]
        kept = [word for word in words if word.partition(";")[0].strip().lower() in _READABLE]
        if len(kept) < len(words):
            head.set(b"Accept-Encoding", ", ".join(kept or ["identity"]).encode("latin-1"))

    # -- before --------------------------------------------------------------------------------

    def holds(self, passage: Passage) -> bool:
        """Whether a request must be whole before it goes on."""
        return self.injector is not None or self.guards(passage)

    def guards(self, passage: Passage) -> bool:
        """Whether the budget must have room for it."""
        return self.guard is not None and passage.dialect is not None and not (self.beside_test and passage.metered)

    def decide(self, passage: Passage) -> Injection | None:
        """What goes wrong with a request: by what a client of ours tells of it, else by what is seen of it here."""
        if self.injector is None:
            return None
        body = passage.asked
        request = _object(body)
        user, run, call, attempt = self._counted(passage) if WHO.decode() not in passage.told else (0, 0, 0, 0)
        asked = Asked(
            at_s=(time.monotonic_ns() - self.began_ns) / 1e9,
            phase=self.phase,
            name=passage.run_name or passage.tool,
            model=plain_model(str(request.get("model", ""))),
            method=passage.head.method.decode(),
            path=passage.path,
            dialect=passage.dialect.name if passage.dialect is not None else "",
            streamed=request.get("stream") is True,
            user=user,
            run=run,
            call=call,
            attempt=attempt,
        )
        return self.injector.decide(heard(asked, passage.told), body)

    def _counted(self, passage: Passage) -> tuple[int, int, int, int]:
        """Whose request it is: its run's user and number if that is known, its calls counted here."""
        user, number = place_of(passage.run)
        attempt = max(passage.number, 0)
        call = self._calls.get(passage.run, 0)
        if not attempt:
            self._calls[passage.run] = call + 1
            if len(self._calls) > 100_000:
                self._calls.pop(next(iter(self._calls)))
        return user, number, call if not attempt else max(call - 1, 0), attempt

    async def connect(self, client: Client, origin: Origin) -> tuple[Link | None, tuple[FailureKind, str] | None]:
        """A connection to the upstream, or why there is none."""
        loop = asyncio.get_running_loop()
        link = Link(client, origin)
        context = self._context() if origin.scheme == "https" else None
        name = origin.host if context is not None else None
        try:
            async with asyncio.timeout(CONNECT_S):
                await loop.create_connection(lambda: link, origin.host, origin.port, ssl=context, server_hostname=name)
        except TimeoutError:
            return None, (FailureKind.TIMEOUT, f"no connection to the upstream within {CONNECT_S:g} s")
        except socket.gaierror as error:
            return None, (FailureKind.DNS, f"the upstream's name does not resolve: {error.strerror}")
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or "the handshake failed"
            return None, (FailureKind.TLS, f"the upstream's TLS: {why}")
        except OSError as error:
            return None, (FailureKind.CONNECT, f"no connection to the upstream: {error.strerror or error}")
        return link, None

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    # -- after ---------------------------------------------------------------------------------

    def ended(self, passage: Passage) -> None:
        """A passage is over."""
        self.tell(passage)


def _object(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
