"""A key from the environment is sent to its host and written nowhere."""

from __future__ import annotations

import base64
import json
import signal
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from harness import wait_until
from sample_locustfiles import CHAT_SPEC, chat

CANARY = "sk-canary/Zq7+vT3xW9=pLm2Kd8Rb5Yc1Nf6"
KEYS = {"OPENAI_API_KEY": CANARY, "ANTHROPIC_API_KEY": CANARY}
SPEC = f"{CHAT_SPEC},echo=key,errors=auth:0.5"

# What workers and master say to each other, written down as it is sent.
EAVESDROP = """
    from pathlib import Path

    from locust.rpc.protocol import Message

    serialize = Message.serialize


    def overheard(self):
        data = serialize(self)
        with Path("messages.bin").open("ab") as file:
            file.write(data)
        return data


    Message.serialize = overheard
"""


def disguises(secret: str) -> list[bytes]:
    """The key as it may show itself: plain, quoted for URLs, in base64 at any offset."""
    plain = secret.encode()
    inner = [base64.b64encode(b"x" * pad + plain)[4:-4] for pad in range(3)]
    return [plain, plain[8:-4], urllib.parse.quote(secret, safe="").encode(), *inner]


def leaks(files: dict[str, bytes]) -> list[str]:
    """The names of those that hold the key in any disguise."""
    return [name for name, content in files.items() if any(form in content for form in disguises(CANARY))]


def written(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, and what is in it."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@pytest.mark.parametrize("way", ["processes", "web"])
def test_a_key_echoed_by_the_server_appears_nowhere(start, mock_server, tmp_path, way):
    """Not in outputs, logs, pages, command lines or worker messages, though errors repeat it."""
    server = mock_server(SPEC)
    body = 'reply = self.chat("Hello"); assert reply.ok, str(reply.failure)'
    test = start(
        chat("error_rate < 100%", body=body, extra=EAVESDROP),
        *("--host", server.url, "--loglevel", "DEBUG", "--html", "page.html", "--csv", "table"),
        way=way,
        run_time="4s",
        env=KEYS,
    )
    pages: dict[str, bytes] = {}
    if way == "web":
        test.wait_for_ui()
        test.swarm()
    wait_until(lambda: server.truth()["requests"] >= 20, "twenty requests")
    pages["command lines"] = test.commands().encode()
    if way == "web":
        test.stop()
        for page in ("", "stats/requests", "stats/report", "exceptions", "logs", "stats/failures/csv", "tasks"):
            with urllib.request.urlopen(f"{test.web_url}/{page}", timeout=10) as reply:
                pages[f"/{page}"] = reply.read()
        test.signal(signal.SIGINT, group=False)
    result = test.finish()
    files = written(tmp_path)
    if way == "processes":
        assert files["messages.bin"]
    assert result.summary["totals"]["failed"] > 0
    assert leaks({**files, **pages}) == []


def test_the_canary_is_seen_in_every_disguise(mock_server):
    """The search itself works, and the mock does repeat the key."""
    quoted = urllib.parse.quote(CANARY, safe="").encode()
    encoded = [base64.b64encode(b"Bearer "[:pad] + CANARY.encode()) for pad in range(4)]
    files = {str(n): content for n, content in enumerate([CANARY.encode(), quoted, *encoded])}
    assert leaks(files) == list(files)
    server = mock_server("status=401,echo=key")
    call = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    headers = {"Authorization": f"Bearer {CANARY}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", call, headers)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)
    assert CANARY in error.value.read().decode()
