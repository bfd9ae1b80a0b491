"""What becomes of a reply's bytes: exact by token, the same however the bytes were cut up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlocust import dialects
from agentlocust.dialects.answers import Answer, FunctionCall
from agentlocust.dialects.sse import EventSplitter
from agentlocust.failures import FailureKind
from agentlocust.faults.catalogue import FAULTS
from agentlocust.faults.chain import struck_by
from agentlocust.faults.fault import GENERATING, Group
from agentlocust.faults.frames import FrameSplitter
from agentlocust.faults.injection import Asked, End
from agentlocust.faults.injector import PlanInjector
from agentlocust.faults.made import _body, frames_of
from agentlocust.faults.plan import FaultPlan
from agentlocust.usage import Usage

WORDS = ("Grüße", " an", " Æsop", " 日本", " x", " y", " z", ".")
ANSWER = Answer("a1", "m", 1, Usage(uncached_input=9, output=8), text=WORDS)
CALLING = Answer(
    "a2", "m", 1, Usage(uncached_input=9, output=3), "tools", calls=(FunctionCall("c", "f", ('{"a"', ":1}")),)
)
STREAM_FAULTS = [name for name, fault in FAULTS.items() if fault.group is Group.STREAM] + ["model_switched"]
DIALECTS = sorted(GENERATING)


def stream(dialect: str, answer: Answer = ANSWER) -> bytes:
    """An answer's whole stream."""
    made = frames_of(dialect, answer, include_usage=True)
    return b"".join([made.opening, *made.pieces, made.closing()])


def rewriting(line: str, dialect: str, *, streamed: bool = True):
    """The injection of a line, and its rewriter."""
    injection = PlanInjector(FaultPlan.parse(line), 1).decide(Asked(0.0, dialect=dialect, streamed=streamed), b"{}")
    return injection, injection.rewriter()


def through(rewriter, chunks):
    """The pieces that come out, and how it ends."""
    pieces = []
    for chunk in chunks:
        if rewriter.end is None:
            pieces += rewriter.feed(chunk)
    if rewriter.end is None:
        pieces += rewriter.finish()
    return pieces, rewriter.end


def read(dialect: str, data: bytes, *, complete: bool = True):
    """What our own reader makes of a stream."""
    reader = dialects.by_name(dialect).stream_reader()
    splitter = EventSplitter()
    for event in splitter.feed(1, data):
        reader.feed(*event)
    return reader.finish(complete)


def after(line: str, dialect: str, answer: Answer = ANSWER):
    """What a reader makes of the stream once the fault has passed over it."""
    _, rewriter = rewriting(line, dialect)
    pieces, end = through(rewriter, [stream(dialect, answer)])
    return read(dialect, b"".join(piece.data for piece in pieces), complete=end is not End.CUT), end


@st.composite
def chunked(draw, data: bytes):
    """The data in chunks."""
    at = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", STREAM_FAULTS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_chunks_change_nothing(name, dialect, data):
    """Any chunking of the same bytes gives the same pieces and the same end."""
    whole = stream(dialect)
    chunks = data.draw(chunked(whole))
    assert through(rewriting(f"{name}()", dialect)[1], chunks) == through(rewriting(f"{name}()", dialect)[1], [whole])


@pytest.mark.parametrize("name", STREAM_FAULTS)
@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_no_bytes_are_a_crash(name, data):
    """Whatever a server sends, something goes on."""
    through(rewriting(f"{name}()", "anthropic")[1], [data])


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@settings(deadline=None)
@given(data=st.data())
def test_frames_are_whole_whatever_ends_their_lines(ending, data):
    """Nothing is lost, nothing split."""
    raw = b"".join(b"data: %d" % n + ending * 2 for n in range(5)) + b"data: rest"
    splitter = FrameSplitter()
    found = [frame for chunk in data.draw(chunked(raw)) for frame in splitter.feed(chunk)]
    rest = splitter.rest()
    assert b"".join(found) + rest == raw
    assert len(found) == 5
    assert rest == b"data: rest"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("answer", [ANSWER, CALLING])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_cut_is_exact(dialect, answer, k):
    """After k token events as our readers count them, text or arguments of tools."""
    decoded, end = after(f"cut(after={k})", dialect, answer)
    assert len(decoded.token_ns) == k
    assert end is End.CUT
    assert decoded.failure.kind is FailureKind.TRUNCATED_STREAM


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_each_fault_makes_of_a_stream(dialect):
    """As our own readers see it."""
    assert after("no_terminal()", dialect)[0].failure.kind is FailureKind.TRUNCATED_STREAM
    assert len(after("no_terminal()", dialect)[0].token_ns) == 8
    malformed = after("malformed(after=3)", dialect)[0]
    assert malformed.failure.kind is FailureKind.MALFORMED_STREAM
    assert len(malformed.token_ns) == 7
    broken = after("error_event(after=3)", dialect)[0]
    assert (broken.failure.kind, len(broken.token_ns)) == (FailureKind.STREAM_ERROR, 3)
    assert after("duplicate(after=1)", dialect)[0].text == "".join([*WORDS[:2], *WORDS[1:]])
    assert after("reorder(after=1)", dialect)[0].text == "".join([WORDS[0], WORDS[2], WORDS[1], *WORDS[3:]])
    assert after("no_usage()", dialect)[0].usage is None
    assert after("model_switched(to=other)", dialect)[0].model == "other"
    for line in ("split_utf8()", "bundle()", "drip()", "stall(after=3)", "slow_first_token()"):
        decoded = after(line, dialect)[0]
        assert (decoded.text, decoded.failure) == ("".join(WORDS), None)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_delays_stand_before_the_right_token(dialect):
    """The k-th token's bytes go before the stall, the next one's after it."""
    pieces, _ = through(rewriting("stall(after=3,for=2s)", dialect)[1], [stream(dialect)])
    (at,) = [number for number, piece in enumerate(pieces) if piece.after_s]
    assert pieces[at].after_s == 2
    before = read(dialect, b"".join(piece.data for piece in pieces[:at]), complete=False)
    assert len(before.token_ns) == 3
    dripped, _ = through(rewriting("drip(gap=100ms)", dialect)[1], [stream(dialect)])
    assert sum(piece.after_s for piece in dripped) == pytest.approx(0.8)
    (late,) = [
        piece
        for piece in through(rewriting("slow_first_token(delay=3s)", dialect)[1], [stream(dialect)])[0]
        if piece.after_s
    ]
    assert late.after_s == 3


def test_characters_are_split():
    """Each piece of a pair alone is no UTF-8."""
    pieces, _ = through(rewriting("split_utf8()", "openai-chat")[1], [stream("openai-chat")])
    halves = [piece for piece in pieces if piece.after_s]
    assert len(halves) == 8
    with pytest.raises(UnicodeDecodeError):
        pieces[pieces.index(halves[0]) - 1].data.decode()


def test_rewriters_follow_one_another():
    """What one delays the next ones pass on, also what they hold back until the end."""
    injection, rewriter = rewriting("drip(gap=100ms), model_switched(to=z), bundle()", "anthropic")
    pieces, end = through(rewriter, [stream("anthropic")])
    assert (len(pieces), end) == (1, None)
    assert pieces[0].after_s == pytest.approx(0.8)
    assert read("anthropic", pieces[0].data).model == "z"
    assert struck_by(injection, rewriter) == ("drip", "model_switched", "bundle")
    _, both = rewriting("no_terminal(), bundle()", "openai-chat")
    pieces, end = through(both, [stream("openai-chat")])
    assert end is End.CLEAN
    assert len(pieces) == 1


def test_what_found_nothing_to_change_did_not_strike():
    """A cut after more tokens than there are, among others that did strike."""
    injection, rewriter = rewriting("cut(after=100), drip(gap=1ms), latency()", "openai-chat")
    through(rewriter, [stream("openai-chat")])
    assert struck_by(injection, rewriter) == ("drip", "latency")
    assert struck_by(injection, None) == ("latency",)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reply_that_is_not_streamed(dialect):
    """Cut in half, without usage, of another model: whole JSON otherwise."""
    asked = Asked(0.0, dialect=dialect, streamed=False)
    body = _body(asked, ANSWER, "")
    reader = dialects.by_name(dialect)
    pieces, end = through(rewriting("cut()", dialect, streamed=False)[1], [body[:10], body[10:]])
    assert (b"".join(piece.data for piece in pieces), end) == (body[: len(body) // 2], End.CUT)
    pieces, _ = through(rewriting("no_usage(), model_switched(to=z)", dialect, streamed=False)[1], [body])
    decoded = reader.read_body(pieces[0].data)
    assert (decoded.model, decoded.usage, decoded.text) == ("z", None, "".join(WORDS))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("streamed", [True, False])
def test_what_made_replies_say(dialect, streamed):
    """In the provider's own words, streamed or whole."""
    request = json.dumps({"tools": [{"name": "f"}], "messages": [], "stream_options": {"include_usage": True}}).encode()

    def decoded(line):
        asked = Asked(0.0, dialect=dialect, streamed=streamed, model="m")
        reply = PlanInjector(FaultPlan.parse(line), 1).decide(asked, request).reply
        body = b"".join(piece.data for piece in reply.pieces)
        return read(dialect, body) if streamed else dialects.by_name(dialect).read_body(body)

    assert decoded("empty()").failure.kind is FailureKind.EMPTY
    assert decoded("filter()").finish_reason in ("content_filter", "refusal")
    assert decoded("filter()").failure.kind is FailureKind.CONTENT_FILTER
    assert decoded("length(tokens=4)").finish_reason in ("length", "max_tokens", "max_output_tokens")
    assert decoded("length(tokens=4)").usage.output == 4
    assert decoded("refusal()").text.startswith("I'm sorry")
    assert decoded("refusal()").failure is None
    (invalid,) = decoded("invalid_arguments()").tool_calls
    assert (invalid.name, invalid.valid) == ("f", True)
    (truncated,) = decoded("truncated_arguments()").tool_calls
    assert (truncated.name, truncated.valid) == ("f", False)
    (unknown,) = decoded("unknown_tool(tool=nobody)").tool_calls
    assert unknown.name == "nobody"


@pytest.mark.parametrize(
    ("dialect", "request_body"),
    [
        ("openai-chat", {"messages": [{"role": "user", "content": "q"}, {"role": "tool", "content": '["a"]'}]}),
        (
            "openai-responses",
            {"input": [{"role": "user", "content": "q"}, {"type": "function_call_output", "output": '["a"]'}]},
        ),
        ("anthropic", {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": '["a"]'}]}]}),
    ],
)
def test_tools_results_are_changed_on_their_way(dialect, request_body):
    """Only the newest ones: what the model has seen already stays."""
    body = json.dumps(request_body).encode()
    asked = Asked(0.0, dialect=dialect)

    def changed(line):
        return PlanInjector(FaultPlan.parse(line), 1).decide(asked, body).request(body).decode()

    assert '"[\\"a\\"]"' not in changed("wrong_tool_result(to=7)")
    assert '"7"' in changed("wrong_tool_result(to=7)")
    assert '"[]"' in changed("missing_data()")
    seen = json.dumps({key: [*items, {"role": "assistant", "content": "ok"}] for key, items in request_body.items()})
    assert PlanInjector(FaultPlan.parse("missing_data()"), 1).decide(replace(asked), seen.encode()) is None


PLAIN = {
    "sse": [b'event: text\ndata: {"n": %d}\n\n' % n for n in range(6)],
    "ndjson": [b'{"n": %d}\n' % n for n in range(6)],
    "websocket": [b'{"n": %d}\x1e' % n for n in range(6)],
}


def passed(line: str, dialect: str, step: int = 7):
    """What comes out of a stream of another protocol, whatever the chunks it came in."""
    injection, rewriter = rewriting(line, dialect)
    data = b"".join(PLAIN[dialect])
    pieces, end = through(rewriter, [data[at : at + step] for at in range(0, len(data), step)])
    return pieces, end, struck_by(injection, rewriter)


@pytest.mark.parametrize("dialect", PLAIN)
def test_streams_of_other_protocols_are_struck_event_by_event(dialect):
    """Each event counts as a token."""
    events = PLAIN[dialect]
    pieces, end, names = passed("cut(after=2)", dialect)
    assert (b"".join(piece.data for piece in pieces), end, names) == (b"".join(events[:2]), End.CUT, ("cut",))
    pieces, end, names = passed("stall(after=3,for=2s), duplicate(after=1)", dialect)
    whole = [*events[:2], *events[1:]]
    assert b"".join(piece.data for piece in pieces) == b"".join(whole)
    assert [piece.data for piece in pieces if piece.after_s] == [events[3]]
    assert (end, set(names)) == (None, {"stall", "duplicate"})
    pieces, _, _ = passed("malformed(after=1)", dialect)
    broken = b"".join(piece.data for piece in pieces)
    assert broken.startswith(events[0])
    assert broken.endswith(b"".join(events[2:]))
    assert events[1] not in broken


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_what_needs_a_models_reply_is_for_no_other(name):
    """Faults of content never; of streams those that any stream of events has."""
    group = FAULTS[name].group
    for dialect in ("json", *PLAIN):
        applies = FAULTS[name].applies(Asked(0.0, dialect=dialect))
        if group is Group.CONTENT:
            assert not applies
        elif group is not Group.STREAM:
            assert applies
    assert FAULTS["bundle"].applies(Asked(0.0, dialect="sse"))
    assert not FAULTS["bundle"].applies(Asked(0.0, dialect="websocket"))
