"""Which run a request belongs to, by what the agent passed on.

W3C Trace Context (`traceparent: 00-<trace>-<span>-<flags>`) and Baggage (`agentlocust.run=…`), or a header of
our own. A run's id is its trace id: 32 hex digits, so any one of the three that survives the agent will do.
"""

from __future__ import annotations

import re
import secrets
from urllib.parse import quote, unquote

from agentlocust.proxy.heads import Head

RUN = "x-agentlocust-run"
METERED = "x-agentlocust-metered"
"""Borne by what a test's own users ask of its proxy: they measure it, and set its money aside, themselves."""

BAGGAGE_RUN = "agentlocust.run"
BAGGAGE_NAME = "agentlocust.name"
MAX_NAME = 80
_MOST = 1 << 24  # a user's number, and a run's, have six digits each

_ID = re.compile(r"[\w.\-]{1,64}\Z")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?\Z")


def new_run(user: int = 0, number: int = 0) -> str:
    """An id that no other run has, of the run of that number of that user: both count from 0 over the whole test."""
    return f"{user % _MOST:06x}{number % _MOST:06x}{secrets.token_hex(10)}"


def place_of(run: str) -> tuple[int, int]:
    """The user and the number in a run's id: by them the same seed strikes the same requests. 0, 0 for no such id."""
    place = run[:12]
    if len(place) < 12 or place.strip("0123456789abcdef"):
        return 0, 0
    return int(place[:6], 16), int(place[6:], 16)


def run_headers(run: str, name: str) -> list[tuple[str, str]]:
    """What a request to an agent bears, so that the agent's own requests can be told to be this run's."""
    baggage = f"{BAGGAGE_RUN}={run},{BAGGAGE_NAME}={quote(name[:MAX_NAME], safe='')}"
    return [("traceparent", f"00-{run}-{secrets.token_hex(8)}-01"), ("baggage", baggage), (RUN, run)]


def cause_of(head: Head) -> tuple[str, str, str]:
    """The run of a request, how that is known (`header`, `baggage`, `traceparent`, or ""), and the run's name."""
    baggage = _baggage(head.text(b"baggage"))
    name = baggage.get(BAGGAGE_NAME, "")[:MAX_NAME]
    for by, run in (("header", head.text(RUN.encode())), ("baggage", baggage.get(BAGGAGE_RUN, ""))):
        if _ID.match(run):
            return run, by, name
    found = _TRACEPARENT.match(head.text(b"traceparent").strip().lower())
    if found is not None and found[1].strip("0"):
        return found[1], "traceparent", name
    return "", "", name


def _baggage(text: str) -> dict[str, str]:
    found = {}
    for member in text[:8192].split(","):
        key, equals, value = member.partition(";")[0].partition("=")
        if equals:
            found[key.strip()] = unquote(value.strip())
    return found
