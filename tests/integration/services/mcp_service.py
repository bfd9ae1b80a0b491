"""An MCP server by the official SDK. An argument chooses: `json` replies, or `stateless` ones."""

from __future__ import annotations

import sys

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from serving import count, serve, with_truth

server = MCPServer("shop", log_level="ERROR")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    count("add")
    return a + b


@server.tool()
async def look_up(order: int, ctx: Context) -> str:
    """Find an order, and tell of the progress."""
    count("look_up")
    await ctx.report_progress(0.5, 1.0)
    if order == 13:
        count("look_up_failed")
        msg = "no such order"
        raise ToolError(msg)
    return f"order {order} is on its way"


if __name__ == "__main__":
    app = server.streamable_http_app(json_response="json" in sys.argv, stateless_http="stateless" in sys.argv)
    serve(with_truth(app))
