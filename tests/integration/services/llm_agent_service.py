"""A black box: a threaded HTTP agent that asks a model twice a request, with the official SDK, and tells nothing.

    llm_agent_service.py BASE_URL PASSES [RETRIES]

PASSES says what it passes on of what it was sent: `all`, `traceparent`, or `nothing`.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai

BASE, PASSES = sys.argv[1:3]
RETRIES = int(sys.argv[3]) if len(sys.argv) > 3 else 0
PASSED = {"all": ("traceparent", "baggage", "x-agentlocust-run"), "traceparent": ("traceparent",), "nothing": ()}
CLIENT = openai.OpenAI(base_url=f"{BASE}/v1", api_key="sk-canary-abcdefghijkl", max_retries=RETRIES)
COUNTS: Counter[str] = Counter()
LOCK = threading.Lock()


def count(name: str) -> None:
    with LOCK:
        COUNTS[name] += 1


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply(200, dict(COUNTS))

    def do_POST(self) -> None:
        count("started")
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name: self.headers[name] for name in PASSED[PASSES] if self.headers[name]}
        try:
            text = self.think(asked["message"], headers)
        except openai.APIStatusError as error:
            count(f"status_{error.status_code}")
            self.reply(500, {"error": {"message": f"the model said {error.status_code}"}})
            return
        except openai.OpenAIError:
            count("unreachable")
            self.reply(500, {"error": {"message": "the model cannot be reached"}})
            return
        count("finished")
        self.reply(200, {"answer": text})

    def think(self, message: str, headers: dict[str, str]) -> str:
        messages: Any = [{"role": "user", "content": message}]
        text = ""
        for _ in range(2):
            stream = CLIENT.chat.completions.create(
                model="gpt-4o-mini",
                messages=messages,
                max_tokens=40,
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=headers,
            )
            for chunk in stream:
                if chunk.choices:
                    text += chunk.choices[0].delta.content or ""
            count("calls")
        return text

    def reply(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


server = Server(("127.0.0.1", 0), Agent)
print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
