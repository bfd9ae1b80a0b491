"""Replies that the proxy makes itself, each marked as its own and saying why."""

from __future__ import annotations

import json
from typing import Any

from agentlocust.faults.injection import HEADER
from agentlocust.proxy.heads import Headers, made
from agentlocust.proxy.passage import OWN, Passage

_JSON = (b"Content-Type", b"application/json")


def own_reply(passage: Passage, status: int, reason: bytes, word: str, what: str) -> bytes:
    """A whole reply to a request; `word` is why in a word, `what` in a sentence.

    One for money (402) has the shape of the provider's own, and official SDKs do not try it again.
    """
    headers: Headers = [_JSON, (OWN, word.encode())]
    if status == 402:
        headers.append((b"x-should-retry", b"false"))
    if passage.faults:
        headers.append((HEADER, ",".join(passage.faults).encode()))
    if not passage.body.done or not passage.head.keeps_alive:
        headers.append((b"Connection", b"close"))
    body = json.dumps(_error(passage, status, word, f"agentlocust proxy: {what}")).encode()
    reply = made(status, reason, headers, body)
    return reply if passage.head.method != b"HEAD" else reply[: -len(body)]


def bad_request(what: str) -> bytes:
    """The reply to bytes that are no request."""
    body = json.dumps({"error": {"message": f"agentlocust proxy: {what}", "code": "bad_request"}}).encode()
    return made(400, b"Bad Request", [_JSON, (OWN, b"bad_request"), (b"Connection", b"close")], body)


def _error(passage: Passage, status: int, word: str, message: str) -> dict[str, Any]:
    if status != 402:
        return {"error": {"message": message, "type": "agentlocust_proxy", "code": word}}
    if passage.dialect is not None and passage.dialect.provider == "anthropic":
        return {"type": "error", "error": {"type": "billing_error", "message": message}}
    code = "insufficient_quota"
    return {"error": {"message": message, "type": code, "param": None, "code": code}}
