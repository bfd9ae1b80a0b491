"""A key to be looked for, and the places where it must not be."""

from __future__ import annotations

import base64
import urllib.parse
from pathlib import Path

CANARY = "sk-canary/Zq7+vT3xW9=pLm2Kd8Rb5Yc1Nf6"

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
    return [plain, plain[8:-4], urllib.parse.quote(secret, safe="").encode(), plain.hex().encode(), *inner]


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
