"""Agents that are services, 50 users for 30 s each: nothing is lost and nothing counted twice.

A2A (1.0 and 0.3; streamed, whole and polled), AG-UI, MCP (both eras; JSON, SSE and stateless), LangGraph's
messages, and plain JSON, SSE, NDJSON and WebSocket services, written with their official packages. For each:
what the service counted itself against the summary. Run: python tests/reliability/services.py [seconds]
"""

from __future__ import annotations

import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "integration")]

from agent_services import JSON_MAPPING, MAPPING, Service, asker, missing, tool_caller  # noqa: E402
from harness import run  # noqa: E402

USERS = 50
PLAIN = "plain_service"
ASKED: dict[str, tuple[str, dict[str, object]]] = {
    "A2A 1.0, streamed": ("a2a_service", {"protocol": "a2a"}),
    "A2A 1.0, whole": ("a2a_service", {"protocol": "a2a", "stream": False}),
    "A2A 1.0, polled": ("a2a_service", {"protocol": "a2a", "options": {"mode": "poll", "poll": "50ms"}}),
    "A2A 0.3, streamed": ("a2a_service", {"protocol": "a2a", "options": {"version": "0.3"}}),
    "AG-UI": ("ag_ui_service", {"protocol": "ag-ui"}),
    "LangGraph": ("langgraph_service", {"protocol": "langgraph"}),
    "JSON": (PLAIN, {"protocol": "json", "path": "/json", "mapping": JSON_MAPPING}),
    "SSE": (PLAIN, {"protocol": "sse", "path": "/sse", "mapping": MAPPING}),
    "NDJSON": (PLAIN, {"protocol": "ndjson", "path": "/ndjson", "mapping": MAPPING}),
    "WebSocket": (PLAIN, {"protocol": "websocket", "path": "/ws", "mapping": MAPPING}),
}
CALLED = {
    "MCP 2026-07-28, SSE": ((), ""),
    "MCP 2026-07-28, JSON": (("json",), ""),
    "MCP 2025-11-25, SSE": ((), "2025-11-25"),
    "MCP 2025-11-25, stateless": (("stateless",), "2025-11-25"),
}
PACKAGES = ("a2a-sdk", "ag-ui-protocol", "mcp", "langgraph", "websockets", "uvicorn", "wsproto", "locust", "gevent")


def asked(directory: Path, name: str, settings: dict[str, object], seconds: int) -> tuple[int, int, int]:
    """What the service finished, what the summary has, and how many of those failed."""
    with Service(directory, name) as service:
        result = run(directory, asker(**settings), "--host", service.url, users=USERS, run_time=f"{seconds}s")
        truth = service.truth()
    totals = result.summary["totals"]
    assert truth["started"] == truth["finished"], truth
    return truth["finished"], totals["runs"], totals["runs_failed"] + totals["runs_cancelled"]


def called(directory: Path, mode: tuple[str, ...], revision: str, seconds: int) -> tuple[int, int, int]:
    """The same of an MCP server's tools."""
    code = tool_caller(protocol_version=revision)
    with Service(directory, "mcp_service", *mode) as service:
        result = run(directory, code, "--host", service.url, users=USERS, run_time=f"{seconds}s")
        truth = service.truth()
    totals = result.summary["totals"]
    return truth["add"] + truth["look_up"], totals["tool_calls"], totals["tools_failed"]


def installed(package: str) -> str:
    """A package's name and version."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} absent"


def main() -> int:
    """Print the table; 1 when a count differs."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    print(", ".join(map(installed, PACKAGES)))
    print(f"{USERS} users, {seconds} s each\n\n{'service':28} {'it did':>8} {'counted':>8} {'failed':>7} {'/s':>7}")
    wrong = 0
    jobs = [(title, name, None) for title, (name, _) in ASKED.items()]
    jobs += [(title, "mcp_service", mode) for title, (mode, _) in CALLED.items()]
    for title, name, mode in jobs:
        if package := missing(name):
            print(f"{title:28} {package} is not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            if mode is None:
                did, counted, failed = asked(Path(folder), name, ASKED[title][1], seconds)
            else:
                did, counted, failed = called(Path(folder), mode, CALLED[title][1], seconds)
            took = time.monotonic() - began
        verdict = "" if did == counted and not failed else "  WRONG"
        wrong += bool(verdict)
        print(f"{title:28} {did:8} {counted:8} {failed:7} {did / took:7.0f}{verdict}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
