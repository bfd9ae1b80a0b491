"""Text from elsewhere: no secrets, no control characters, short, and alike when the cause is."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.redact import MASK, SAMPLE_LENGTH, Scrubber, normalise, secrets_in, secrets_in_headers, terminal_safe

CANARY = 'canary/7f+Q=x"9 é'


@pytest.mark.parametrize(
    "form",
    [
        CANARY,
        CANARY.upper(),
        quote(CANARY),
        quote(CANARY, safe=""),
        quote(CANARY, safe="").lower(),
        quote_plus(CANARY),
        json.dumps(CANARY),
        json.dumps(CANARY, ensure_ascii=False),
        json.dumps(json.dumps({"key": CANARY})),
        repr({"key": CANARY}),
        CANARY.encode().hex(),
    ],
)
def test_a_known_secret_goes_in_every_form_it_travels_in(form: str) -> None:
    """Plain, in a URL, in JSON, in a repr: nothing of the secret stays."""
    clean = Scrubber([CANARY]).clean(f"before {form} after")
    assert "canary" not in clean.lower()
    assert MASK in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")


@given(st.binary(max_size=9), st.binary(max_size=9))
def test_a_known_secret_goes_from_base64_wherever_it_starts(before: bytes, after: bytes) -> None:
    """All three alignments of base64 are recognised, in both alphabets."""
    secret = "a-secret-of-some-length"
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(before + secret.encode() + after).decode()
        text = Scrubber([secret]).scrub(encoded)
        assert MASK in text
        # All but the characters at either end, which also hold bits of the neighbours.
        assert len(text) - len(MASK) <= len(encoded) - len(secret) * 8 // 6 + 2


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Incorrect API key provided: sk-proj-abcdEFGH1234.", "abcdEFGH"),
        ("Incorrect API key provided: sk-abcd****wxyz", "wxyz"),
        ("key sk-ant-api03-abcdefghij", "abcdefghij"),
        ("Authorization: Bearer abc.def-123456", "abc.def"),
        ("authorization: basic dXNlcjpwYXNzd29yZA==", "dXNlc"),
        ("x-api-key: notasecret1", "notasecret1"),
        ('{"api_key": "notasecret1"}', "notasecret1"),
        ("GET /v1?api_key=notasecret1&x=1", "notasecret1"),
        ("https://user:hunter2@example.test/", "hunter2"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
        ("token ghp_abcdefghij0123456789", "abcdefghij"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJzdWIi"),
        ("sk-\x1b[0mproj-abcdEFGH1234", "abcdEFGH"),
    ],
)
def test_what_looks_like_a_secret_goes_too(text: str, gone: str) -> None:
    """Keys that no environment variable holds are known by their shape."""
    assert gone not in Scrubber().clean(text)


@pytest.mark.parametrize(
    "text", ["The model gpt-4o-mini does not exist", "task-runner failed", "status 429: slow down"]
)
def test_ordinary_words_stay(text: str) -> None:
    """What holds no secret is left as it is."""
    assert Scrubber(["short"], {"HOME": "/home/someone"}).clean(text) == text


def test_secrets_are_found_in_the_environment_by_name() -> None:
    """Only long values of variables that say they are secret count."""
    environ = {
        "OPENAI_API_KEY": "value-one", "GITHUB_TOKEN": "value-two", "DB_PASSWORD": "value-three", "MY_SECRET": "short",
        "AWS_SECRET_ACCESS_KEY": "value-four", "PATH": "/usr/bin:/bin", "TOKENIZERS_PARALLELISM": "truetruetrue",
    }  # fmt: skip
    assert secrets_in(environ) == {"value-one", "value-two", "value-three", "value-four"}
    assert Scrubber(environ=environ).scrub("value-one and value-four") == "*** and ***"


def test_secrets_are_found_in_headers_by_name() -> None:
    """What names a credential, without its scheme; not what only describes the request."""
    headers = [("Authorization", "Token first-secret"), ("X-Api-Key", "second-secret"), ("cookie", "third=secret")]
    plain = [("Accept", "application/json"), ("X-Tenant", "the-tenant"), ("Authorization", " ")]
    assert secrets_in_headers([*headers, *plain]) == {"first-secret", "second-secret", "third=secret"}


def test_a_secret_learnt_later_is_scrubbed_from_then_on() -> None:
    """Also from names that were asked for before; what was known stays known."""
    scrubber = Scrubber(["canary-first"])
    assert scrubber.name("canary-later") == "canary-later"
    scrubber.know(["canary-later", "short"])
    assert scrubber.name("canary-later") == MASK
    assert scrubber.scrub("canary-first, short") == f"{MASK}, short"


def test_a_name_is_clean_and_bounded() -> None:
    """However long or odd it is, asked for once or twice."""
    scrubber = Scrubber(["canary-secret"])
    for text in ("find\x1b[31m_order", "x" * 10_000, "call canary-secret"):
        assert scrubber.name(text) == scrubber.name(text) == scrubber.clean(text, 80)


def test_a_secret_does_not_show_in_the_scrubber_itself() -> None:
    """The scrubber's own repr is safe to log."""
    assert CANARY not in repr(Scrubber([CANARY]))


@given(st.integers(min_value=0, max_value=4200))
def test_no_cut_leaves_half_a_secret(padding: int) -> None:
    """Wherever the text is cut, no beginning of a secret is left at its end."""
    clean = Scrubber(["SECRETSECRETSECRET"]).clean(
        "\x1b[1m" * (padding // 8) + "x" * (padding % 300) + "SECRETSECRETSECRET" * 3
    )
    assert "SECRET" not in clean
    assert len(clean) <= SAMPLE_LENGTH


@given(st.text())
def test_any_text_becomes_safe_to_print(text: str) -> None:
    """No control, escape, bidi or zero-width character survives, and doing it twice changes nothing."""
    safe = terminal_safe(text)
    bad = {*range(32), *range(127, 160), *range(0x200B, 0x2010), *range(0x2028, 0x202F), 0x2066, 0xFEFF}
    assert not bad & set(map(ord, safe))
    assert terminal_safe(safe) == safe
    safe.encode()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b]52;c;aGVsbG8=\x07copied", "copied"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[31mred\x1b[0m \x9b2Jclear", "red clear"),
        ("one\r\n\ttwo\u2028three", "one two three"),
        ("abc\u202edef\u200bghi", "abcdefghi"),
    ],
)
def test_escape_sequences_go_whole(text: str, safe: str) -> None:
    """Nothing of a sequence is left over as text."""
    assert terminal_safe(text) == safe


@pytest.mark.parametrize(
    ("texts", "sample"),
    [
        (["request req_011CSabc failed", "request req_99ZXYabc failed"], "request <id> failed"),
        (["at 0x7f3a2b", "at 0xffff00"], "at <address>"),
        (["id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-e89b-12d3-a456-426614174000"], "id <uuid>"),
        (["Used 198123 of 200000", "Used 5000 of 30000"], "Used <n> of <n>"),
        (["try again in 1.234s", "try again in 20.5s"], "try again in <n>s"),
        (["at 2026-11-20T10:40:00Z", "at 2026-11-21 11:41:01.5"], "at <time>"),
    ],
)
def test_failures_of_one_cause_become_one_text(texts: list[str], sample: str) -> None:
    """Ids, addresses, times and numbers do not make a new failure."""
    assert {Scrubber().sample(text) for text in texts} == {sample}


def test_a_million_messages_become_few() -> None:
    """Numbered messages do not grow the list of failures without end."""
    assert len({normalise(f"order {number * 997} not found") for number in range(5000)}) < 20


def test_models_and_statuses_stay_readable() -> None:
    """What tells causes apart is kept."""
    text = "HTTP 429 from gpt-4o-mini-2024-07-18 and claude-sonnet-4-20250514 and gpt-4.1"
    assert normalise(text) == text
