"""Tokens are counted exactly as tiktoken does where ranks are at hand, and never by way of the network."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import socket
from pathlib import Path
from types import FunctionType

import pytest
import requests
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken_ext import openai_public

from agentlocust import tokens
from agentlocust.tokens import CHUNK, Exactness, TokenCounter, approximate, encoding_of

PACKAGED = importlib.util.find_spec("bpe_openai")
RANKS = Path(next(iter(PACKAGED.submodule_search_locations or ())), "data") if PACKAGED else None
NAMES = {"o200k_base": "o200k_base", "o200k_harmony": "o200k_base", "cl100k_base": "cl100k_base"}
TIKTOKENS = {
    model: encoding
    for model, encoding in {**tiktoken.model.MODEL_TO_ENCODING, **tiktoken.model.MODEL_PREFIX_TO_ENCODING}.items()
    if not model.endswith(("davinci-002", "babbage-002"))
}
TEXTS = [
    "",
    "Hello, world!",
    "def f(x):\n    return x**2  # squared\n\n\n",
    "Größe, naïve café; it's we've I'LL",
    "今天天气很好\nこんにちは 안녕하세요",
    "🎉 emoji 👩‍👩‍👧 and \u0000 control",
    "<|endoftext|> is plain text here",
    "1234567 3.14159\r\n\ttabs   and   spaces   ",
    '{"city": "Paris", "days": [1, 2, 3]}/\n/path',
]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, tmp_path):
    """No test here may reach the network, nor find ranks that this machine happens to have cached."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(requests, "get", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))


@pytest.fixture
def no_ranks(monkeypatch):
    """As on a machine without the extra."""
    monkeypatch.setattr(tokens.importlib.util, "find_spec", lambda name: None)


@pytest.fixture(scope="module")
def counter():
    return TokenCounter()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The encodings of tiktoken, made by its own code from the packaged ranks."""
    assert RANKS is not None

    def load(url, expected_hash):
        raw = gzip.decompress((RANKS / f"{url.rsplit('/', 1)[1]}.gz").read_bytes())
        assert hashlib.sha256(raw).hexdigest() == expected_hash
        ranks = tmp_path_factory.mktemp("ranks") / "ranks"
        ranks.write_bytes(raw)
        return tiktoken.load.load_tiktoken_bpe(str(ranks))

    def make(constructor):
        patched = FunctionType(constructor.__code__, {**vars(openai_public), "load_tiktoken_bpe": load})
        return tiktoken.Encoding(**patched())

    return {"gpt-4o": make(openai_public.o200k_base), "gpt-4": make(openai_public.cl100k_base)}


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
@pytest.mark.parametrize("text", TEXTS)
def test_counts_equal_tiktokens(counter, reference, model, text):
    """With ranks at hand a count is tiktoken's own, to the token."""
    assert counter.count(text, model) == (len(reference[model].encode_ordinary(text)), Exactness.EXACT)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=300))
def test_any_text_counts_as_tiktoken_counts_it(counter, reference, text):
    """Also texts that nobody would write, lone surrogates among them."""
    assert counter.count(text, "gpt-4o")[0] == len(reference["gpt-4o"].encode_ordinary(text))


@settings(max_examples=20, deadline=None)
@given(lines=st.lists(st.text("ab 1!/'\t\r\n.é今", max_size=40), min_size=1, max_size=30))
@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_long_texts_are_counted_in_parts_without_a_difference(counter, reference, model, lines):
    """A cut falls only where the encoding breaks anyway, when a text has such places."""
    text = "\nword".join(lines * (2 * CHUNK // (sum(map(len, lines)) + 5 * len(lines)) + 1))
    parts = list(counter.count_chunks(text, model))
    assert len(parts) > 1 or len(text) <= CHUNK
    assert sum(parts) == len(reference[model].encode_ordinary(text))


def test_a_text_without_a_break_is_cut_all_the_same(counter):
    """A hostile reply of one endless word cannot hold the process."""
    parts = list(counter.count_chunks("a" * (3 * CHUNK), "gpt-4o"))
    assert len(parts) == 3
    assert all(parts)


def test_ranks_in_tiktokens_cache_are_used(tmp_path, monkeypatch, no_ranks):
    """A whole file in TIKTOKEN_CACHE_DIR counts exactly, without the extra."""
    assert RANKS is not None
    raw = gzip.decompress((RANKS / "cl100k_base.tiktoken.gz").read_bytes())
    (tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").write_bytes(raw)
    assert TokenCounter().count("Hello, world!", "gpt-4") == (4, Exactness.EXACT)


def test_a_damaged_cache_file_is_neither_used_nor_touched(tmp_path, no_ranks):
    """The library would delete it and fetch another; we count by characters and leave it."""
    damaged = tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
    damaged.write_bytes(b"aGVsbG8= 0\n")
    assert TokenCounter().count("Hello, world!", "gpt-4") == (4, Exactness.APPROXIMATE)
    assert damaged.exists()


@pytest.mark.parametrize("cache", ["", "/nonexistent/folder"])
def test_without_ranks_a_count_is_an_approximation(monkeypatch, no_ranks, cache):
    """No cache and no extra: four characters a token, said so, and no network."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", cache)
    counter = TokenCounter()
    assert not counter.load("gpt-4o")
    assert counter.count("x" * 400, "gpt-4o") == (100, Exactness.APPROXIMATE)
    assert "four characters" in counter.describe("gpt-4o")


def test_a_damaged_package_is_not_used(monkeypatch, tmp_path):
    """Ranks whose hash is wrong, or that cannot be unpacked, are as good as none."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "o200k_base.tiktoken.gz").write_bytes(gzip.compress(b"aGVsbG8= 0\n"))
    (tmp_path / "data" / "cl100k_base.tiktoken.gz").write_bytes(b"not gzip")
    spec = importlib.util.spec_from_file_location("bpe_openai", submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(tokens.importlib.util, "find_spec", lambda name: spec)
    assert not TokenCounter().load("gpt-4o")
    assert not TokenCounter().load("gpt-4")


def test_a_model_is_ready_once_its_encoding_is_loaded(no_ranks):
    """`ready` turns true also when the ranks are missing: there is nothing to wait for any more."""
    counter = TokenCounter()
    assert not counter.ready("gpt-4o")
    counter.load("gpt-4o")
    assert counter.ready("gpt-5-mini")
    assert not counter.ready("gpt-4")


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "gemini-2.5-pro", "meta-llama/Llama-3.3-70B", "gpt-6-sol"])
def test_an_unpublished_tokenizer_is_stood_in_for(counter, model):
    """Claude and others are counted by o200k_base and labelled so."""
    assert counter.count("Hello, world!", model)[1] is Exactness.NEAR
    assert "standing in" in counter.describe(model)


@pytest.mark.parametrize(("model", "theirs"), [pair for pair in TIKTOKENS.items() if pair[1] in NAMES])
def test_models_have_the_encoding_that_tiktoken_gives_them(model, theirs):
    """Where tiktoken names one of our two encodings for a chat or embeddings model, so do we."""
    assert encoding_of(model) == (NAMES[theirs], True)


def test_a_request_counts_its_texts_tools_and_framing(counter):
    """Texts and schemas are counted as they stand, images not at all."""
    ask = {"role": "user", "content": "Where is order 42?"}
    alone = counter.count_request({"messages": [ask]}, "gpt-4o")
    assert alone == counter.count("Where is order 42?", "gpt-4o")[0] + 1 + 3 + 3
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}
    parts = {"role": "user", "content": [{"type": "text", "text": "Where is order 42?"}, image]}
    assert counter.count_request({"messages": [parts]}, "gpt-4o") == alone
    tool = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}
    assert counter.count_request({"messages": [ask], "tools": [tool]}, "gpt-4o") > alone + 10


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "hello"}], "system": "be brief"},
        {"input": "hello", "instructions": "be brief"},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}], "instructions": "be brief"},
        {"input": ["hello", "be brief"]},
    ],
)
def test_every_dialects_request_is_read(counter, body):
    """Chat, Responses, Anthropic and embeddings bodies all have their texts counted."""
    assert 6 <= counter.count_request(body, "gpt-4o") <= 12


@pytest.mark.parametrize(
    "body", [{}, {"messages": None}, {"messages": 7}, {"messages": [None, 3, {"content": [[["x"]]]}]}]
)
def test_an_odd_request_is_counted_as_far_as_it_goes(counter, body):
    """A body that no server would take still has a count."""
    assert counter.count_request(body, "gpt-4o") >= 3


@settings(deadline=None)
@given(st.text(max_size=200))
def test_an_approximation_is_never_zero_for_a_text(text):
    """Every text costs something, and no more than a token a character."""
    assert (0 < approximate(text) <= len(text)) if text else approximate(text) == 0


@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox jumps over the lazy dog, and then it rests for a while. " * 10,
        "今天天气很好我们去公园散步吧。" * 10,
        "Привет мир, как твои дела сегодня? " * 10,
        "こんにちは世界、お元気ですか。" * 10,
    ],
)
def test_an_approximation_is_of_the_right_size(counter, text):
    """In common scripts it lies within a factor of two of the exact count."""
    exact = counter.count(text, "gpt-4o")[0]
    assert exact / 2 <= approximate(text) <= exact * 2
