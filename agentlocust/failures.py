"""The closed list of ways a call can fail, and the one rule that sorts HTTP errors into it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """Why a call failed. Every failed call has exactly one."""

    RATE_LIMITED = "rate_limited"  # 429 that clears by waiting
    QUOTA = "quota"  # 429 or 402 that waiting does not clear
    OVERLOADED = "overloaded"  # 503, 529
    SERVER_ERROR = "server_error"  # any other 5xx
    BAD_REQUEST = "bad_request"
    AUTH = "auth"  # 401, 403
    NOT_FOUND = "not_found"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    REDIRECT = "redirect"  # a 3xx: never followed
    TIMEOUT = "timeout"
    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"
    RESET = "reset"  # the connection died before the reply was whole
    PROTOCOL = "protocol"  # not HTTP, or not the content the API promises
    TOO_LARGE = "too_large"  # beyond the limits of headers, a line or a reply
    TRUNCATED_STREAM = "truncated_stream"  # ended without its terminal event
    MALFORMED_STREAM = "malformed_stream"  # an event that is not JSON
    STREAM_ERROR = "stream_error"  # an error event inside a 200 stream
    EMPTY = "empty"  # a whole reply with nothing generated in it
    CHECK = "check"  # the content was judged wrong by the user's own check
    CLIENT = "client"  # the caller raised while it read the reply
    BUDGET = "budget"  # not sent: its run may not spend that much; only a Reply tells of it
    CANCELLED = "cancelled"  # cut by the end of the test; not a failure of the target


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure: its kind, the HTTP status (0 if none arrived) and a short, scrubbed sample.

    `injected` when a fault of the test's own plan is its cause, and not the target.
    """

    kind: FailureKind
    message: str
    status: int = 0
    injected: bool = False

    def __str__(self) -> str:
        told = f"{self.kind}: {self.message}" if self.message else str(self.kind)
        return f"injected {told}" if self.injected else told


_BY_STATUS = {
    400: FailureKind.BAD_REQUEST,
    401: FailureKind.AUTH,
    402: FailureKind.QUOTA,
    403: FailureKind.AUTH,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    413: FailureKind.CONTEXT_LENGTH,
    429: FailureKind.RATE_LIMITED,
    503: FailureKind.OVERLOADED,
    504: FailureKind.TIMEOUT,
    529: FailureKind.OVERLOADED,
}

# What the providers write in `error.code` or `error.type`, where it says more than the status.
_BY_CODE = {
    "insufficient_quota": FailureKind.QUOTA,
    "billing_error": FailureKind.QUOTA,
    "enforced_spend_limit_reached": FailureKind.QUOTA,
    "context_length_exceeded": FailureKind.CONTEXT_LENGTH,
    "content_filter": FailureKind.CONTENT_FILTER,
    "overloaded_error": FailureKind.OVERLOADED,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "timeout_error": FailureKind.TIMEOUT,
    "request_too_large": FailureKind.CONTEXT_LENGTH,
}


def classify_status(status: int, codes: tuple[str, ...] = (), message: str = "") -> FailureKind:
    """The kind of an HTTP error reply, from its status, the codes in its body and its message."""
    for code in codes:
        kind = _BY_CODE.get(code)
        if kind is not None:
            return kind
    if status == 400 and "prompt is too long" in message:
        return FailureKind.CONTEXT_LENGTH
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return FailureKind.REDIRECT
    if 400 <= status < 500:
        return FailureKind.BAD_REQUEST
    if status >= 500:
        return FailureKind.SERVER_ERROR
    return FailureKind.PROTOCOL
