"""Signed requests: HMAC-SHA256 over time, method, path and body, good for thirty seconds."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

WINDOW_S = 30.0
KEY, TIMESTAMP, SIGNATURE = "x-paper-key", "x-paper-timestamp", "x-paper-signature"


class BadSignature(Exception):
    """A request is not signed as it must be. `expired` when only its time is wrong."""

    def __init__(self, why: str, *, expired: bool = False) -> None:
        super().__init__(why)
        self.expired = expired


def sign(secret: str, timestamp_ms: int, method: str, target: str, body: bytes) -> str:
    """The signature of a request; `target` is its path with the query."""
    signed = f"{timestamp_ms}\n{method}\n{target}\n".encode() + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def signed_headers(key: str, secret: str, now: float, method: str, target: str, body: bytes) -> dict[str, str]:
    """What a client adds to a request that it signs at `now`, seconds since 1970."""
    timestamp = int(now * 1000)
    return {KEY: key, TIMESTAMP: str(timestamp), SIGNATURE: sign(secret, timestamp, method, target, body)}


def check(
    headers: Mapping[str, str], key: str, secret: str, now: float, method: str, target: str, body: bytes
) -> float:
    """When the request was signed, in seconds since 1970. Raises BadSignature."""
    given = headers.get(TIMESTAMP, "")
    if headers.get(KEY) != key or not (given.isascii() and given.isdecimal() and len(given) <= 15):
        raise BadSignature("the request is not signed")
    wanted = sign(secret, int(given), method, target, body)
    if not hmac.compare_digest(wanted.encode(), headers.get(SIGNATURE, "").encode()):
        raise BadSignature("the signature is wrong")
    signed_at = int(given) / 1000
    if abs(now - signed_at) > WINDOW_S:
        raise BadSignature(f"signed {now - signed_at:+.0f} s ago, outside of {WINDOW_S:.0f} s", expired=True)
    return signed_at
