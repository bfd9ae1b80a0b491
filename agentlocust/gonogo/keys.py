"""Evidence about keys: none in what git tracks, and those that are needed in the environment."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

from agentlocust.gonogo.checklist import EnvironmentEvidence, KeysEvidence
from agentlocust.gonogo.finding import Colour, Finding, Scene, red

MAX_FILE_BYTES = 20_000_000
MAX_SHOWN = 20
_GIT_SECONDS = 60.0

# Shapes that only a key has: a word such as `sk-test` in a document is none.
_KEYS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("Anthropic", re.compile(rb"\bsk-ant-[A-Za-z0-9]{2,10}-[A-Za-z0-9_-]{24,}")),
    ("OpenAI", re.compile(rb"\bsk-(?!ant-)(?:proj-|svcacct-|admin-)?(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{32,}")),
    ("AWS", re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("Google", re.compile(rb"\bAIza[0-9A-Za-z_-]{35}")),
    ("GitHub", re.compile(rb"\b(?:gh[oprsu]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50,})")),
    ("Hugging Face", re.compile(rb"\bhf_[A-Za-z0-9]{30,}")),
    ("Groq", re.compile(rb"\bgsk_[A-Za-z0-9]{40,}")),
    ("xAI", re.compile(rb"\bxai-[A-Za-z0-9]{60,}")),
    ("Slack", re.compile(rb"\bxox[abprs]-[0-9]{8,}-[A-Za-z0-9-]{16,}")),
    ("Stripe", re.compile(rb"\b[rs]k_live_[A-Za-z0-9]{20,}")),
    ("private key", re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40,}")),
)


def judge_keys(evidence: KeysEvidence, scene: Scene) -> Finding:
    """Red names file, line and provider of what looks like a key, never the key."""
    root = scene.folder / evidence.repository
    names = _tracked(root)
    if names is None:
        return red(f"cannot tell: {evidence.repository} is no git repository, or git is not installed")
    if not names:
        return red("cannot tell: git tracks no file there")
    kept = [name for name in names if not any(fnmatch(name, pattern) for pattern in evidence.apart_from)]
    found: list[str] = []
    unread: list[str] = []
    for name in kept:
        path = root / name
        if not path.is_symlink() and path.is_file():  # a link holds no text; what was deleted holds none either
            hits = _keys_in(path)
            if hits is None:
                unread.append(f"{name}: too large, or cannot be read")
            else:
                found += [f"{name}:{line}: {provider}" for line, provider in hits]
    if found:
        more = [f"… and {len(found) - MAX_SHOWN} more"] if len(found) > MAX_SHOWN else []
        text = f"{len(found)} place{'' if len(found) == 1 else 's'} in tracked files with what looks like a key"
        return red(text, details=found[:MAX_SHOWN] + more)
    if unread:
        return red(f"cannot tell: {len(unread)} files were not read", details=unread[:MAX_SHOWN])
    left_out = f", {len(names) - len(kept)} left out" if len(kept) < len(names) else ""
    return Finding(Colour.GREEN, f"no key in {len(kept)} tracked files{left_out}", scene.now)


def judge_environment(evidence: EnvironmentEvidence, scene: Scene) -> Finding:
    """Whether variables are set; an empty or blank one is not."""
    held = {name for name, value in scene.environ.items() if value.strip()}
    missing = [name for name in evidence.holds if name not in held]
    extra = [name for name in evidence.lacks if name in held]
    if missing or extra:
        words = [f"not set: {', '.join(missing)}" if missing else "", f"set: {', '.join(extra)}" if extra else ""]
        return red("; ".join(filter(None, words)))
    words = [f"set: {', '.join(evidence.holds)}" if evidence.holds else ""]
    words += [f"not set: {', '.join(evidence.lacks)}" if evidence.lacks else ""]
    return Finding(Colour.GREEN, "; ".join(filter(None, words)), scene.now)


def _tracked(root: Path) -> list[str] | None:
    command = ["git", "-C", str(root), "ls-files", "-z"]
    try:
        ran = subprocess.run(command, capture_output=True, check=True, timeout=_GIT_SECONDS)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return [name.decode("utf-8", "surrogateescape") for name in ran.stdout.split(b"\0") if name]


def _keys_in(path: Path) -> list[tuple[int, str]] | None:
    """Line and provider of each; None when the file cannot be read whole."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return None
        raw = path.read_bytes()
    except OSError:
        return None
    hits = ((raw.count(b"\n", 0, hit.start()) + 1, name) for name, keys in _KEYS for hit in keys.finditer(raw))
    return sorted(set(hits))
