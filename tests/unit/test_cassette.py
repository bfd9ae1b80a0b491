"""Cassettes give back what was recorded, know a request by its meaning, and hold no key and, if asked, no text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.cassette import HASH, KEEP, Writer, load, request_of
from agentlocust.errors import ConfigError

KEY = "sk-live-0123456789abcdef"
BODY = b'{"model":"m","messages":[{"role":"user","content":"my name is Ada"}]}'


def count(text: str) -> int:
    """Tokens: words."""
    return len(text.split())


def recorded(path: Path, pieces, texts=KEEP, *, streamed=True, body=BODY, **more):
    """The one reply of a cassette that was written with these."""
    writer = Writer(path, texts, count)
    request = request_of("POST", "/v1/chat/completions", body)
    headers = [("Content-Type", "text/event-stream"), ("Set-Cookie", f"s={KEY}"), ("x-request-id", "r1")]
    asked = [("Authorization", f"Bearer {KEY}"), ("Content-Type", "application/json"), ("X-Api-Key", KEY)]
    writer.add(request, asked, body, 200, headers, 0.1, pieces, pieces[-1][0], streamed=streamed, secrets=[KEY], **more)
    writer.close()
    [found] = load(path).find(request)
    return found


def test_what_was_recorded_is_given_back(tmp_path):
    """Pieces byte for byte with their times, also where a character is split between them."""
    text = "data: ☃\n\n".encode()
    pieces = [(0.1, text[:7]), (0.25, text[7:]), (0.5, b"\xff\x00")]
    found = recorded(tmp_path / "c", pieces)
    assert list(found.pieces) == pieces
    assert (found.status, found.head_s, found.end_s, found.ending) == (200, 0.1, 0.5, "complete")
    assert dict(found.headers) == {"Content-Type": "text/event-stream", "x-request-id": "r1"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=12,
    )
)
def test_the_same_json_is_the_same_request_however_it_is_written(value):
    """Order of keys, blanks and escapes make no difference; another value does."""
    compact = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    loose = json.dumps(value, indent=2, sort_keys=True).encode()
    assert request_of("POST", "/", compact).digest == request_of("POST", "/", loose).digest
    assert request_of("POST", "/", json.dumps([value]).encode()).digest != request_of("POST", "/", compact).digest


@pytest.mark.parametrize("texts", [KEEP, HASH])
def test_no_key_is_in_it(tmp_path, texts):
    """Not from headers, not from bodies, not where one is split between two pieces."""
    half = len(KEY) // 2
    event = b'data: {"choices":[{"delta":{"content":"your key is %s"}}]}\n\n' % KEY.encode()
    at = event.index(KEY.encode()) + half
    found = recorded(tmp_path / "c", [(0.1, event[:at]), (0.2, event[at:])], texts, body=b'{"key":"%s"}' % KEY.encode())
    written = (tmp_path / "c").read_text()
    assert KEY not in written
    assert KEY[:half] not in written
    assert KEY[half:] not in written
    if texts == KEEP:
        assert b"".join(data for _, data in found.pieces) == event.replace(KEY.encode(), b"*" * len(KEY))


STREAM = [
    (0.1, b'data: {"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'),
    (0.2, b'data: {"choices":[{"index":0,"delta":{"content":"Ada Lovelace lives"}}]}\n\ndata: {"choi'),
    (0.3, b'ces":[{"index":0,"delta":{"content":" here"}}]}\n\n'),
    (
        0.4,
        b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\\"n"}}]}}]}\n\n',
    ),
    (0.5, b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\":\\"Ada\\"}"}}]}}]}\n\n'),
    (0.6, b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":4}}\n\ndata: [DONE]\n\n'),
]


def test_texts_that_are_not_kept_are_as_many_tokens_of_filler(tmp_path):
    """Events, usage and times stay; texts and arguments, asked and answered, are gone; it says that it is so."""
    found = recorded(tmp_path / "c", STREAM, HASH)
    written = (tmp_path / "c").read_text()
    for word in ("Ada", "Lovelace", "lives", "here"):
        assert word not in written
    data = b"".join(piece for _, piece in found.pieces)
    events = [json.loads(line[6:]) for line in data.split(b"\n\n") if line.startswith(b"data: {")]
    said = "".join(event["choices"][0]["delta"].get("content") or "" for event in events[:3])
    assert count(said) == 4
    arguments = [event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for event in events[3:5]]
    assert json.loads("".join(arguments)) == {}
    assert events[5]["usage"]["completion_tokens"] == 4
    assert data.endswith(b"data: [DONE]\n\n")
    assert [at for at, _ in found.pieces] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert found.synthetic
    assert load(tmp_path / "c").synthetic


def test_a_whole_reply_without_its_texts(tmp_path):
    """A JSON body stays JSON; any other is filler altogether."""
    answer = b'{"choices":[{"message":{"content":"Ada was here"}}],"usage":{"completion_tokens":3}}'
    found = recorded(tmp_path / "c", [(0.1, answer)], HASH, streamed=False)
    assert json.loads(found.pieces[0][1]) == {
        "choices": [{"message": {"content": " word word word"}}],
        "usage": {"completion_tokens": 3},
    }
    other = recorded(tmp_path / "d", [(0.1, b"<p>Ada was here</p>")], HASH, streamed=False)
    assert other.pieces[0][1] == b"word word word"


def test_a_miss_names_the_nearest_and_what_differs(tmp_path):
    """So that whoever changed a prompt sees which."""
    recorded(tmp_path / "c", [(0.1, b"x")])
    cassette = load(tmp_path / "c")
    other = json.dumps({**json.loads(BODY), "temperature": 1, "messages": [{"role": "user", "content": "?"}]})
    said = cassette.nearest(request_of("POST", "/v1/chat/completions", other.encode()))
    assert "differs in messages[0], temperature" in said
    assert "POST /v1/chat/completions" in cassette.nearest(request_of("GET", "/x", b""))


def test_replies_to_the_same_request_stay_in_order(tmp_path):
    """The n-th asking is the n-th line."""
    writer = Writer(tmp_path / "c", KEEP, count)
    request = request_of("POST", "/x", b"1")
    for n in range(3):
        writer.add(request, [], b"1", 200, [], 0.0, [(0.0, b"%d" % n)], 0.0)
    writer.close()
    assert [found.pieces[0][1] for found in load(tmp_path / "c").find(request)] == [b"0", b"1", b"2"]


def test_a_line_that_was_being_written_when_the_recorder_died_is_left_out(tmp_path):
    """What is before it serves."""
    recorded(tmp_path / "c", [(0.1, b"x")])
    with (tmp_path / "c").open("a") as file:
        file.write('{"method":"POST","pa')
    assert len(load(tmp_path / "c")) == 1


@pytest.mark.parametrize(
    "text", ["", "nonsense\n", '{"cassette":2,"texts":"keep"}\n', '{"cassette":1,"texts":"keep"}\n{"a":1}\n', "[]\n"]
)
def test_what_is_no_cassette_is_refused_with_its_place(tmp_path, text):
    """A ConfigError that names the file, never a traceback."""
    (tmp_path / "c").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "c")
    assert str(tmp_path / "c") in str(refused.value)


def test_a_cassette_that_is_missing_or_cannot_be_made_is_refused(tmp_path):
    """Both say which file."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none")
    with pytest.raises(ConfigError, match="cannot be written"):
        Writer(tmp_path / "no" / "folder", KEEP, count)
