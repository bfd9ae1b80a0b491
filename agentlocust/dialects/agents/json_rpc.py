"""JSON-RPC 2.0 as A2A and MCP use it."""

from __future__ import annotations

from typing import Any

from agentlocust.dialects.base import dict_of, text_of
from agentlocust.failures import Failure, FailureKind

_BY_CODE = {
    -32700: FailureKind.BAD_REQUEST,  # parse error
    -32600: FailureKind.BAD_REQUEST,  # invalid request
    -32601: FailureKind.NOT_FOUND,  # no such method
    -32602: FailureKind.BAD_REQUEST,  # invalid params
    -32603: FailureKind.SERVER_ERROR,  # internal error
}


def call(method: str, params: dict[str, Any] | None, id: int | str) -> dict[str, Any]:
    """A request."""
    return {"jsonrpc": "2.0", "id": id, "method": method, **({} if params is None else {"params": params})}


def error_of(reply: dict[str, Any]) -> Failure | None:
    """The failure that a reply tells of, if it does."""
    error = reply.get("error")
    if error is None:
        return None
    told = dict_of(error)
    code = told.get("code")
    kind = _BY_CODE.get(code, FailureKind.STREAM_ERROR) if isinstance(code, int) else FailureKind.STREAM_ERROR
    message = text_of(told.get("message")) or "an error without a word"
    return Failure(kind, f"{message[:300]} ({code})" if isinstance(code, int) else message[:300], 200)
