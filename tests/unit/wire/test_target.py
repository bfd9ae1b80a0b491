"""Targets and the keys that may go there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.wire.target import Key, Origin, Target, key_from_environment

HOSTS = [
    "api.openai.com",
    "localhost",
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "::2",
    "10.0.0.1",
    "local.localhost",
    "169.254.169.254",
]
origins = st.builds(
    Origin, st.sampled_from(["http", "https"]), st.sampled_from(HOSTS), st.sampled_from([80, 443, 8000])
)


@given(origins, origins, st.text(max_size=5))
def test_a_key_goes_to_its_own_origin_and_no_other(own, other, value):
    """Never without a value, to another origin, or over plain http beyond this machine."""
    usable = Key(value, own).usable_for(other)
    allowed = own == other and (own.scheme == "https" or own.host in {"localhost", "127.0.0.1", "127.9.9.9", "::1"})
    assert usable == (bool(value) and allowed)


@given(st.text(min_size=1))
def test_a_key_does_not_show_itself(value):
    """Neither repr nor str holds the secret."""
    assert repr(Key(value, Origin("https", "h", 443))) == str(Key(value, Origin("https", "h", 443))) == "Key(***)"


def test_a_key_comes_from_its_variable(monkeypatch):
    """Stripped of the line end that `echo` leaves; empty when the variable is missing."""
    origin = Origin("https", "h", 443)
    monkeypatch.setenv("SOME_KEY", " secret\n")
    assert key_from_environment("SOME_KEY", origin) == Key("secret", origin)
    assert key_from_environment("NO_SUCH_KEY", origin) == Key("", origin)


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("https://h", "/v1/chat/completions", "/v1/chat/completions"),
        ("https://h/", "/v1/chat/completions", "/v1/chat/completions"),
        ("https://h/v1", "/v1/chat/completions", "/v1/chat/completions"),
        ("https://h/v1/", "/v1/messages", "/v1/messages"),
        ("https://h/openai", "/v1/embeddings", "/openai/v1/embeddings"),
        ("https://h/openai/v1/", "/v1/embeddings", "/openai/v1/embeddings"),
        ("https://h/av1", "/v1/embeddings", "/av1/v1/embeddings"),
    ],
)
def test_a_path_lies_below_its_base(base, path, expected):
    """Prefixes are kept and a version is never there twice."""
    assert Target.parse(base).path_of(path) == expected


@pytest.mark.parametrize(
    ("url", "origin", "header"),
    [
        ("http://h", Origin("http", "h", 80), "h"),
        ("https://H.Example", Origin("https", "h.example", 443), "h.example"),
        ("https://h:8443", Origin("https", "h", 8443), "h:8443"),
        ("http://h:443", Origin("http", "h", 443), "h:443"),
        ("http://[::1]", Origin("http", "::1", 80), "[::1]"),
        ("http://[::1]:8000/v1", Origin("http", "::1", 8000), "[::1]:8000"),
        (" http://under_score.lan ", Origin("http", "under_score.lan", 80), "under_score.lan"),
        ("https://bücher.example", Origin("https", "xn--bcher-kva.example", 443), "xn--bcher-kva.example"),
    ],
)
def test_an_origin_is_read_from_a_url(url, origin, header):
    """Default ports, IPv6, capitals and names beyond ASCII."""
    target = Target.parse(url)
    assert target.origin == origin
    assert target.origin.host_header == header
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "ftp://h",
        "http://",
        "http://user@h",
        "http://user:secret@h",
        "http://:secret@h",
        "http://h?x=1",
        "http://h#f",
        "http://h:99999",
        "http://h:0",
        "http://h:port",
        "http://[::1",
        "http://a b",
        "http://a\0b",
        "http://h\r\nX: y",
        "http://h/a b",
        "http://h/a\x0bb",
        "http://h/ä",
        "http://" + "ä" * 70,
    ],
)
def test_what_is_no_base_url_is_refused(url):
    """One clear error that never repeats a password."""
    with pytest.raises(ConfigError) as error:
        Target.parse(url)
    assert "secret" not in str(error.value)


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text):
    """Whatever is given, a Target that can be sent to or a ConfigError comes back."""
    for url in (text, f"http://{text}", f"https://h/{text}"):
        try:
            target = Target.parse(url)
        except ConfigError:
            continue
        line = target.path_of("/v1/x") + target.origin.host_header
        assert line.isascii()
        assert line.isprintable()
        assert " " not in line
