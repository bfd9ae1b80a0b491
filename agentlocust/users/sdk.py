"""What both official SDKs share: an httpx2 client on the user's own measured transport."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gevent.lock import BoundedSemaphore

from agentlocust.pricing.worst_case import output_limit
from agentlocust.wire.target import Key

if TYPE_CHECKING:
    import httpx2

    from agentlocust.users.base import AgentUser


_probing = BoundedSemaphore()
_NESTED = 5  # how deep TaskSets are looked into


def prepare(users: Iterable[type[AgentUser]]) -> None:
    """Import the SDKs that `client` needs before the test begins: later it would hold up every user for a second."""
    for cls in users:
        code = [member for base in cls.__mro__ if not _is_ours(base) for member in vars(base).values()]
        if cls.prepared or any(_names_client(member) for member in [*code, *cls.tasks]):
            cls.import_sdk()


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith(("agentlocust.", "locust.", "builtins"))


def _names_client(member: Any, depth: int = 0) -> bool:
    if isinstance(member, type) and hasattr(member, "tasks"):  # a TaskSet, in which others may be nested
        inside = [*vars(member).values(), *member.tasks]
        return depth < _NESTED and any(_names_client(inner, depth + 1) for inner in inside)
    code = getattr(member, "__code__", None)
    return code is not None and "client" in code.co_names


def probe_machine(client: Any) -> None:
    """Have an SDK find out what machine it runs on: once a process, and not within a call."""
    with _probing:  # it asks a child process, and of users that start together each would
        client.platform_headers()


def measured(sdk: Any) -> Any:
    """An SDK's client class whose every request, its retries included, is one call of the transport's."""

    class Measured(sdk):  # type: ignore[misc]  # whichever SDK is in use
        def request(self, *args: Any, **kwargs: Any) -> Any:
            with self._client._transport.call():
                return super().request(*args, **kwargs)

    return Measured


def transport_for(user: AgentUser) -> httpx2.Client:
    """An httpx2 client for a user's SDK: our connections, no redirects, nothing from the environment."""
    import httpx2

    log = logging.getLogger("httpx2")
    if log.level == logging.NOTSET:  # it tells of each request, which under load is all one reads
        log.setLevel(logging.WARNING)

    from agentlocust.wire.sdk import SdkTransport

    def scrub(body: bytes) -> bytes:
        return user.meter.scrubber.scrub(body.decode("utf-8", "replace")).encode()

    key: Key = user._key
    transport = SdkTransport(
        user.pool,
        user.timeouts,
        key,
        user._sdk_call_ended,
        scrub,
        strict=user.strict_stream,
        issue=user._issue,
        not_issued=user._not_issued,
        reserve=lambda body, asked: user.reserve(body, str(asked.get("model", "")), *output_limit(asked)),
        faults=user.turns.call,
        marks=user.meter.marks,
    )
    return httpx2.Client(transport=transport, timeout=None, follow_redirects=False, trust_env=False)
