"""OpenAI-compatible servers that nobody here wrote, each in a virtual environment of its own."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import clean_environment, free_port, processes_of, spawn, wait_until

TINY_MODEL = Path(__file__).with_name("tiny_model.py")
INSTALL_S = 900
START_S = 120.0
LITELLM_KEY = "sk-loopback-only-0123456789abcdef0123456789abcdef"  # it refuses to start with a weak one
OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_MASTER_KEY": LITELLM_KEY,
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "NO_PROXY": "*",
}


class Venv:
    """A virtual environment with some packages in it, made at first need and kept."""

    def __init__(self, folder: Path, *requirements: str) -> None:
        self.folder = folder
        marker = folder / "installed.txt"
        wanted = "\n".join(requirements)
        if marker.is_file() and marker.read_text() == wanted:
            return
        print(f"installing {' '.join(requirements)} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=INSTALL_S)
        command = [self.program("python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements]
        subprocess.run(command, check=True, timeout=INSTALL_S, stderr=subprocess.DEVNULL)
        marker.write_text(wanted)

    def program(self, name: str) -> str:
        """The path of a program in it."""
        return str(self.folder / "bin" / name)

    def version(self, package: str) -> str:
        """The version of a package in it."""
        code = f"from importlib.metadata import version; print(version({package!r}))"
        done = subprocess.run([self.program("python"), "-c", code], check=True, timeout=60, capture_output=True)
        return done.stdout.decode().strip()


@contextlib.contextmanager
def litellm(venv: Venv, directory: Path, upstream: str, models: list[str]) -> Iterator[str]:
    """Serve LiteLLM's proxy in front of `upstream`, whose `models` it serves under their own names."""
    config = {
        "model_list": [
            {
                "model_name": model,
                "litellm_params": {"model": f"openai/{model}", "api_base": f"{upstream}/v1", "api_key": "none"},
            }
            for model in models
        ],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }
    path = directory / "litellm.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    command = [venv.program("litellm"), "--config", str(path), "--host", "127.0.0.1", "--telemetry", "False"]
    with _served(command, directory, "/health/liveliness") as url:
        yield url


@contextlib.contextmanager
def transformers_serve(venv: Venv, directory: Path, model: str) -> Iterator[str]:
    """Serve a tiny local model with random weights, under the name `model`, with `transformers serve`."""
    making = [venv.program("python"), str(TINY_MODEL), str(directory / model)]
    subprocess.run(making, check=True, timeout=START_S, cwd=directory, capture_output=True)
    # A model's name is its folder, seen from where the server was started.
    command = [venv.program("transformers"), "serve", "--host", "127.0.0.1", "--device", "cpu"]
    with _served(command, directory, "/health") as url:
        yield url


@contextlib.contextmanager
def html_portal() -> Iterator[str]:
    """Serve what a wrong address or a captive portal does: 200 and an HTML page to every request."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Portal)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Portal(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        page = b"<html><head><title>Please sign in</title></head><body>Welcome, guest</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _served(command: list[str], directory: Path, health: str) -> Iterator[str]:
    mark = uuid.uuid4().hex
    environment = clean_environment(mark, OFFLINE)
    del environment["PYTHONPATH"]  # a stranger: it sees nothing of this checkout
    port = free_port()
    process = spawn([*command, "--port", str(port)], directory, environment, "server")
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        assert process.poll() is None, f"the server ended:\n{_log(directory)}"
        return _answers(f"{url}{health}")

    try:
        wait_until(up, f"{command[0]} to listen", START_S)
        yield url
    finally:
        for each in processes_of(mark):
            with contextlib.suppress(Exception):
                each.kill()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def _log(directory: Path) -> str:
    return "".join(path.read_text(errors="replace")[-3000:] for path in sorted(directory.glob("server.std*")))
