"""Refuses loops in the users' greenlets, which would stop each other, and says what to do instead."""

from __future__ import annotations

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from typing import Any

from agentlocust.wire.bridge import discard
from agentlocust.wire.bridge_post import post

_TEXT = (
    "{what} would stop every other user of this process: a thread can run one asyncio loop at a time. "
    "Use `self.run_async(coroutine)` of PythonAgentUser, which runs it on the loop beside them; "
    "of a framework's pair of calls, take the async one (`Runner.run`, not `Runner.run_sync`)."
)


def refuse_loops() -> Callable[[], None]:
    """Have loops refused in the greenlets of this thread; gives what allows them again."""
    places: tuple[tuple[Any, str, str], ...] = (
        (asyncio, "run", "asyncio.run()"),
        (asyncio.runners, "run", "asyncio.run()"),
        (asyncio.Runner, "__enter__", "asyncio.Runner"),
        (asyncio.Runner, "run", "asyncio.Runner"),
        (BaseEventLoop, "run_until_complete", "loop.run_until_complete()"),
    )
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    users = post()

    def refusing(original: Callable[..., Any], what: str) -> Callable[..., Any]:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            if not users.here:
                return original(*args, **kwargs)
            for argument in args:
                discard(argument)
            raise RuntimeError(_TEXT.format(what=what))

        return refuse

    for (owner, name, what), (_, _, original) in zip(places, before, strict=True):
        setattr(owner, name, refusing(original, what))

    def allow() -> None:
        for owner, name, original in before:
            setattr(owner, name, original)

    return allow
