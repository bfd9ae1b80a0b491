"""The tools of an MCP server under load: each user connects, looks at what there is, and calls tools.

locust -f locustfiles/mcp_agent.py --host http://127.0.0.1:8000 --headless -u 10 -t 20s

It needs a server that speaks streamable HTTP. Save this as demo_server.py and start it with python, in an
environment that has the package mcp:

    from mcp.server import MCPServer

    server = MCPServer("demo")

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    server.run("streamable-http", port=8000)

The server's tools are called with arguments made from their schemas. For calls of your own:

    result = self.call_tool("search", {"query": "order 42"})
    if result.ok: print(result.text, result.structured)
"""

from locust import between, task

from agentlocust import McpUser


class ToolUser(McpUser):
    path = "/mcp"
    wait_time = between(0.1, 0.5)
    sla = ["p95(tool_latency) < 500ms", "tool_error_rate < 1%", "p95(mcp_connect) < 1"]

    def on_start(self):
        self.offered = self.tools()

    @task
    def call_one(self):
        if not self.offered:  # the server was not there yet
            self.offered = self.tools()
            return
        tool = self.random.choice(self.offered)
        self.call_tool(tool["name"], self.invent(tool.get("inputSchema") or {}))

    def invent(self, schema):
        """Arguments that a tool of this schema may be called with."""
        names = schema.get("required") or []
        return {name: self.value(schema["properties"].get(name, {})) for name in names}

    def value(self, schema):
        kinds = {
            "integer": self.random.randint(1, 100),
            "number": self.random.uniform(1, 100),
            "boolean": self.random.random() < 0.5,
            "array": [],
            "object": {},
        }
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        return kinds.get(schema.get("type"), "order 42")
