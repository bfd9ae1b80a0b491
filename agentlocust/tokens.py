"""Token counts made here, for replies whose server tells no usage. Never touches the network.

Ranks come from tiktoken's cache folder (`TIKTOKEN_CACHE_DIR`, if the file there is whole) or from the `[tokens]`
extra (bpe-openai's packaged rank files, byte for byte tiktoken's). Without them a count is an approximation.
Whatever was counted here is flagged `estimated`: the framing of a request is the provider's secret.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiktoken import Encoding

CHUNK = 32_000  # characters encoded at one go: some 2 ms
_URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"  # only its SHA-1 is used: a file name


class Exactness(StrEnum):
    """How far a count of a text can be trusted."""

    EXACT = "exact"  # by the model's own encoding
    NEAR = "near"  # by another model's encoding, because this one's is not published
    APPROXIMATE = "approximate"  # from the number of characters


@dataclass(frozen=True, slots=True)
class _Recipe:
    """One of tiktoken's encodings: the SHA-256 of its rank file, and its pattern (tiktoken, MIT)."""

    sha256: str
    pattern: str


_WORD_END = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_RECIPES = {
    "o200k_base": _Recipe(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + _WORD_END + "|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + _WORD_END + "|"
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    "cl100k_base": _Recipe(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    ),
}
_OWN_ENCODING = (
    (re.compile(r"gpt-4o|gpt-4\.[15]|gpt-5|chatgpt-4o|o[134](-|$)|gpt-oss|ft:gpt-4o"), "o200k_base"),
    (re.compile(r"gpt-4|gpt-3\.?5|text-embedding-|ft:gpt-[34]"), "cl100k_base"),
)
# Scripts that take about a token a character, and the other ones beyond Latin, some 2.5 characters a token.
_IDEOGRAPHS = re.compile("[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\U0001f000-\U0003ffff]")
_OTHER_SCRIPTS = re.compile("[\u0370-\u10ff\u1200-\u1dff\ufb00-\ufdff\ufe70-\ufeff]")
# The encodings break before a letter or digit that follows a line feed, so a cut there changes no count.
_SAFE_CUT = re.compile(r"\n(?=[A-Za-z0-9])")


class TokenCounter:
    """Counts tokens of texts and requests. An encoding is loaded at its first need: 0.3 to 0.7 s and 80 MB.

    Under gevent, call `load` in a thread before the first `count`, or the whole process waits for it.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Encoding | None] = {}

    def ready(self, model: str) -> bool:
        """Whether `count` can answer at once for this model."""
        return encoding_of(model)[0] in self._loaded

    def load(self, model: str) -> bool:
        """Load the model's encoding (blocking; safe in any thread). False when its ranks are not installed."""
        name, _ = encoding_of(model)
        if name not in self._loaded:
            self._loaded[name] = _encoding(name)
        return self._loaded[name] is not None

    def count(self, text: str, model: str) -> tuple[int, Exactness]:
        """Tokens of a text, and how far to trust the number. Special tokens in it are counted as plain text."""
        return sum(self.count_chunks(text, model)), self.exactness(model)

    def count_chunks(self, text: str, model: str) -> Iterator[int]:
        """The count of a text in parts of at most some 2 ms each, so that others can run in between."""
        name, _ = encoding_of(model)
        if not self.load(model):
            yield approximate(text)
            return
        encoding = self._loaded[name]
        assert encoding is not None  # load() said so
        for chunk in _chunks(text):
            yield len(encoding.encode_ordinary(chunk))

    def exactness(self, model: str) -> Exactness:
        """How far a count for this model can be trusted. Loads its encoding."""
        _, own = encoding_of(model)
        if not self.load(model):
            return Exactness.APPROXIMATE
        return Exactness.EXACT if own else Exactness.NEAR

    def count_request(self, body: Mapping[str, Any], model: str) -> int:
        """About what a request's JSON body holds: its texts, its tools' schemas, and the framing of each message.

        Reads chat completions, Responses, Anthropic messages and embeddings. The framing is OpenAI's published
        approximation: 3 tokens a message, 1 a name, 3 to prime the reply. Images, audio and files count nothing.
        """
        messages = body.get("messages")
        items = messages if isinstance(messages, list) else body.get("input")
        framing = 3
        texts: list[str] = []
        for item in items if isinstance(items, list) else [items]:
            if isinstance(item, Mapping):
                framing += 4 if item.get("name") else 3
            texts.extend(_texts(item))
        for part in ("system", "instructions"):
            texts.extend(_texts(body.get(part)))
        for part in ("tools", "functions", "response_format"):
            if body.get(part):
                texts.append(json.dumps(body[part], ensure_ascii=False, separators=(",", ":"), default=str))
        return framing + sum(self.count(text, model)[0] for text in texts)

    def describe(self, model: str) -> str:
        """One line for people: how this model's tokens are counted here. Loads its encoding."""
        name, own = encoding_of(model)
        if not self.load(model):
            return "about four characters a token (agentlocust[tokens] counts better)"
        return f"{name}, the model's own encoding" if own else f"{name}, standing in for an unpublished tokenizer"


def encoding_of(model: str) -> tuple[str, bool]:
    """The encoding to count a model's tokens with, and whether it is the model's own."""
    name = model.strip().lower().rpartition("/")[2]
    for pattern, encoding in _OWN_ENCODING:
        if pattern.match(name):
            return encoding, True
    return "o200k_base", False


def approximate(text: str) -> int:
    """Tokens of a text from its characters alone: four a token, fewer in scripts that tokenizers know less well."""
    if text.isascii():
        return -(-len(text) // 4)
    ideographs, others = len(_IDEOGRAPHS.findall(text)), len(_OTHER_SCRIPTS.findall(text))
    latin = len(text) - ideographs - others
    return -(-(20 * ideographs + 8 * others + 5 * latin) // 20)


def _texts(item: Any) -> Iterator[str]:
    """The texts in a message: its content, names and tool arguments; not its images, ids or types."""
    waiting = [item]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, Mapping):
            for key in ("role", "content", "text", "name", "arguments", "output", "thinking", "function", "tool_calls"):
                waiting.append(value.get(key))
            if isinstance(value.get("input"), Mapping):  # the arguments of an Anthropic tool call
                yield json.dumps(value["input"], ensure_ascii=False, separators=(",", ":"), default=str)


def _chunks(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > CHUNK:
        cuts = [match.end() for match in _SAFE_CUT.finditer(text, start + CHUNK // 2, start + CHUNK)]
        end = cuts[-1] if cuts else start + CHUNK
        yield text[start:end]
        start = end
    yield text[start:]


def _encoding(name: str) -> Encoding | None:
    recipe = _RECIPES[name]
    raw = _cached(name, recipe) or _packaged(name, recipe)
    if raw is None:
        return None
    import tiktoken

    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in raw.splitlines() if line)}
    return tiktoken.Encoding(name, pat_str=recipe.pattern, mergeable_ranks=ranks, special_tokens={})


def _cached(name: str, recipe: _Recipe) -> bytes | None:
    """The rank file in tiktoken's own cache folder; tiktoken itself would fetch a missing one."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder is None:
        folder = str(Path(tempfile.gettempdir(), "data-gym-cache"))
    if not folder:  # tiktoken's way to say: no cache
        return None
    path = Path(folder, hashlib.sha1(_URL.format(name).encode(), usedforsecurity=False).hexdigest())
    try:
        return _whole(path.read_bytes(), recipe)
    except OSError:
        return None


def _packaged(name: str, recipe: _Recipe) -> bytes | None:
    """The rank file in the bpe-openai package, which is found but not imported: its library takes 70 MB."""
    spec = importlib.util.find_spec("bpe_openai")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        try:
            return _whole(gzip.decompress(Path(folder, "data", f"{name}.tiktoken.gz").read_bytes()), recipe)
        except (OSError, EOFError, zlib.error):
            continue
    return None


def _whole(raw: bytes, recipe: _Recipe) -> bytes | None:
    return raw if hashlib.sha256(raw).hexdigest() == recipe.sha256 else None
