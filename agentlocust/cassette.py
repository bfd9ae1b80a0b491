"""Cassettes: requests and replies as JSON lines, recorded by the proxy and served again by the mock.

The first line says what it is; each other holds one reply with the times of its pieces, and of its request what
it takes to know it again: method, path, and the SHA-256 of its canonical JSON (or of its bytes). Keys are never
in it. Texts are kept, or replaced by as many tokens of filler beside the hash of what stood there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentlocust.errors import ConfigError
from agentlocust.redact import MASK, Scrubber

VERSION = 1
KEEP, HASH = "keep", "hash"
FILLER = " word"  # one token of any encoding

_SECRET = re.compile(r"auth|key|token|secret|cookie|session|organization|project|credential", re.IGNORECASE)
_COUNTS = re.compile(r"ratelimit|rate-limit|max-tokens|-tokens\Z", re.IGNORECASE)  # tokens that are no secrets
_DROPPED = frozenset(
    "connection keep-alive proxy-connection transfer-encoding te trailer upgrade date server set-cookie".split()
)
_TEXT_KEYS = frozenset(
    "content text reasoning reasoning_content refusal thinking delta output_text signature encrypted_content".split()
)
_ARGUMENT_KEYS = frozenset({"arguments", "partial_json"})
_LOOKS_SECRET = re.compile(rb"\b(?:sk|rk|pk)[-_][A-Za-z0-9_\-]{8,}|\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-.]{8,}")
_MIN_SECRET = 6
_MAX_FIELDS = 200

Headers = Sequence[tuple[str, str]]
Pieces = list[tuple[float, bytes]]
CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Request:
    """What a request is known again by. `fields` are short hashes of its parts, to say what differs."""

    method: str
    path: str
    digest: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One reply. Times are seconds from when its request was whole; `ending` is `complete`, `cut` or `reset`."""

    request: Request
    status: int
    headers: tuple[tuple[str, str], ...]
    head_s: float
    pieces: tuple[tuple[float, bytes], ...]
    end_s: float
    ending: str = "complete"
    model: str = ""
    output_tokens: int = 0
    synthetic: bool = False
    streamed: bool = False


def request_of(method: str, path: str, body: bytes) -> Request:
    """What to know a request by: the same JSON, however it is written, is the same request."""
    try:
        value = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return Request(method, path, hashlib.sha256(body).hexdigest())
    digest = hashlib.sha256(_canonical(value)).hexdigest()
    fields: dict[str, str] = {}
    if isinstance(value, dict):
        for key, part in value.items():
            parts = enumerate(part) if isinstance(part, list) else [(None, part)]
            for index, item in parts:
                if len(fields) < _MAX_FIELDS:
                    name = str(key)[:60] if index is None else f"{str(key)[:60]}[{index}]"
                    fields[name] = hashlib.sha256(_canonical(item)).hexdigest()[:12]
    return Request(method, path, digest, fields)


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


# -- writing -----------------------------------------------------------------------------------


class Writer:
    """Appends replies to a new cassette, each line flushed. `count` counts a text's tokens, for `hash`.

    Raises ConfigError when the file cannot be made.
    """

    def __init__(self, path: Path, texts: str, count: CountTokens) -> None:
        self._texts = texts
        self._count = count
        try:
            self._file = path.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}", where="--record") from None
        self._line({"cassette": VERSION, "texts": texts})

    def add(
        self,
        request: Request,
        asked: Headers,
        body: bytes,
        status: int,
        headers: Headers,
        head_s: float,
        pieces: Pieces,
        end_s: float,
        *,
        ending: str = "complete",
        model: str = "",
        output_tokens: int = 0,
        streamed: bool = False,
        secrets: Sequence[str] = (),
    ) -> None:
        """Write one reply, without the request's own `secrets` and whatever else looks like one."""
        scrubber = Scrubber(secrets)
        keep = self._texts == KEEP
        whole = b"".join(data for _, data in pieces)
        kept = _masked(pieces, secrets)
        if not keep:
            kept = _without_texts(kept, self._count, streamed=streamed)
        line: dict[str, Any] = {
            "method": request.method,
            "path": scrubber.scrub(request.path),
            "sha256": request.digest,
            "fields": request.fields,
            "request": {"headers": _clean(asked, scrubber)},
            "status": status,
            "headers": _clean(headers, scrubber),
            "head_ms": _ms(head_s),
            "pieces": [[_ms(at), _text(data)] for at, data in kept],
            "end_ms": _ms(end_s),
            "ending": ending,
            "model": model,
            "output_tokens": output_tokens,
            "streamed": streamed,
            "body_sha256": hashlib.sha256(whole).hexdigest(),
        }
        if keep:
            line["request"]["body"] = _text(b"".join(data for _, data in _masked([(0.0, body)], secrets)))
        else:
            line["synthetic"] = True
        self._line(line)

    def _line(self, value: dict[str, Any]) -> None:
        self._file.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        """No more will come."""
        self._file.close()


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _text(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:  # a character split between two pieces, or no text at all
        return {"base64": base64.b64encode(data).decode()}


def _clean(headers: Headers, scrubber: Scrubber) -> list[list[str]]:
    found = []
    for name, value in headers:
        if name.lower() in _DROPPED:
            continue
        secret = _SECRET.search(name) and not _COUNTS.search(name)
        found.append([name, MASK if secret else scrubber.scrub(value)])
    return found


def _masked(pieces: Pieces, secrets: Sequence[str]) -> Pieces:
    """The pieces with every secret overwritten by as many asterisks, also one that is split between two."""
    whole = b"".join(data for _, data in pieces)
    spans = [found.span() for found in _LOOKS_SECRET.finditer(whole)]
    for secret in secrets:
        raw = secret.encode("utf-8", "replace")
        at = whole.find(raw) if len(raw) >= _MIN_SECRET else -1
        while at >= 0:
            spans.append((at, at + len(raw)))
            at = whole.find(raw, at + 1)
    if not spans:
        return pieces
    clean = bytearray(whole)
    for start, end in spans:
        clean[start:end] = b"*" * (end - start)
    found, at = [], 0
    for stamp, data in pieces:
        found.append((stamp, bytes(clean[at : at + len(data)])))
        at += len(data)
    return found


# -- without texts -----------------------------------------------------------------------------


def _without_texts(pieces: Pieces, count: CountTokens, *, streamed: bool) -> Pieces:
    """The pieces with filler for texts. A stream's events stay events, each in the piece that ended it."""
    filler = _Filler(count)
    if not streamed:
        whole = b"".join(data for _, data in pieces)
        return [(pieces[-1][0], filler.body(whole))] if pieces else []
    found: Pieces = []
    rest = b""
    for stamp, data in pieces:
        *lines, rest = (rest + data).split(b"\n")
        done = b"".join(filler.line(line) + b"\n" for line in lines)
        if done:
            found.append((stamp, done))
    if rest and pieces:
        found.append((pieces[-1][0], filler.line(rest)))
    return found


class _Filler:
    """Puts words in the place of texts: as many tokens, none of the meaning. Tool arguments become `{}`."""

    def __init__(self, count: CountTokens) -> None:
        self._count = count
        self._argued: set[str] = set()

    def line(self, line: bytes) -> bytes:
        """One line of an event stream."""
        ending = b"\r" if line.endswith(b"\r") else b""
        if not line.startswith(b"data:"):
            return line
        data = line[5:].strip()
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return line if data == b"[DONE]" else b"data: " + ending
        return b"data: " + _dump(self._fill(value, "")) + ending

    def body(self, body: bytes) -> bytes:
        """A whole body."""
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return (FILLER * self._count(body.decode("utf-8", "replace"))).strip().encode()
        return _dump(self._fill(value, "", whole=True))

    def _fill(self, value: Any, place: str, *, whole: bool = False) -> Any:
        if isinstance(value, dict):
            return {
                key: self._item(key, item, f"{place}/{value.get('index', '')}", whole) for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._fill(item, place, whole=whole) for item in value]
        return value

    def _item(self, key: str, item: Any, place: str, whole: bool) -> Any:
        if key == "input" and isinstance(item, dict):
            return {}
        if isinstance(item, str) and key in _ARGUMENT_KEYS:
            if whole or not item:
                return "{}" if item else item
            first = place not in self._argued
            self._argued.add(place)
            return "{}" if first else ""
        if isinstance(item, str) and key in _TEXT_KEYS:
            return (FILLER * self._count(item)) if item else item
        return self._fill(item, place, whole=whole)


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


# -- reading -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Cassette:
    """Replies by their requests, in the order in which they were recorded. `synthetic`: texts are filler."""

    replies: dict[tuple[str, str, str], list[Recorded]] = field(default_factory=dict)
    synthetic: bool = False

    def __len__(self) -> int:
        return sum(len(found) for found in self.replies.values())

    def find(self, request: Request) -> list[Recorded]:
        """The replies to a request, the first first; none when it was not recorded."""
        return self.replies.get((request.method, request.path, request.digest), [])

    def nearest(self, request: Request) -> str:
        """What of the recorded is most like a request that is not, and what differs, in a sentence."""
        same_path = [known[0].request for known in self.replies.values() if known[0].request.path == request.path]
        same = [known for known in same_path if known.method == request.method]
        if not same:
            paths = sorted({f"{method} {path}" for method, path, _ in self.replies})
            return f"recorded were only {', '.join(paths[:5])}" + (" and others" if len(paths) > 5 else "")
        best = max(same, key=lambda known: len(known.fields.items() & request.fields.items()))
        differs = sorted(name for name, _ in best.fields.items() ^ request.fields.items())
        names = list(dict.fromkeys(differs))
        if not names:
            return f"the nearest, sha256 {best.digest[:12]}, has another body"
        shown = ", ".join(names[:6]) + (" and more" if len(names) > 6 else "")
        return f"the nearest, sha256 {best.digest[:12]}, differs in {shown}"


def load(path: Path) -> Cassette:
    """Read a cassette. Raises ConfigError with `file:line` for one that is missing or none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the cassette cannot be read: {error}", where=str(path)) from None
    lines = text.split("\n")
    if lines and lines[-1]:
        lines[-1] = ""  # the recorder was killed while it wrote
    cassette = Cassette()
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        where = f"{path}:{number}"
        try:
            told = json.loads(line)
            if number == 1:
                if told["cassette"] != VERSION:
                    raise ConfigError(f"a cassette of version {told['cassette']!r}", where=where)
                cassette.synthetic = told["texts"] == HASH
                continue
            recorded = _read(told)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            hint = "record one with `agentlocust proxy --record FILE`"
            raise ConfigError(
                f"no line of a cassette: {type(error).__name__}: {error}", where=where, hint=hint
            ) from None
        known = recorded.request
        cassette.replies.setdefault((known.method, known.path, known.digest), []).append(recorded)
    if not len(cassette):
        raise ConfigError("no replies are recorded in it", where=str(path))
    return cassette


def _read(told: dict[str, Any]) -> Recorded:
    return Recorded(
        Request(told["method"], told["path"], told["sha256"], dict(told["fields"])),
        int(told["status"]),
        tuple((str(name), str(value)) for name, value in told["headers"]),
        told["head_ms"] / 1000,
        tuple(_pieces(told["pieces"])),
        told["end_ms"] / 1000,
        ending=told["ending"],
        model=told["model"],
        output_tokens=int(told["output_tokens"]),
        synthetic=bool(told.get("synthetic", False)),
        streamed=bool(told["streamed"]),
    )


def _pieces(told: Iterable[Any]) -> Iterable[tuple[float, bytes]]:
    for at, data in told:
        raw = base64.b64decode(data["base64"]) if isinstance(data, dict) else data.encode()
        yield at / 1000, raw
