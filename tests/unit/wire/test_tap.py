"""What a Tap makes of attempts, without a socket."""

from __future__ import annotations

import gevent
import pytest

from agentlocust.backoff import retry_after
from agentlocust.dialects import by_name
from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.wire.exchange import Exchange, HttpRequest, Timeouts
from agentlocust.wire.pool import Pool
from agentlocust.wire.tap import Tap, cut_by
from agentlocust.wire.target import Origin

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
TOKEN = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
BROKEN = WireError(FailureKind.RESET, "broke")


def tapped(*packets, streamed=True, error=None, strict=True):
    """A tap whose one attempt got these (stamp, bytes)."""
    tap = Tap(by_name("openai-chat"), streamed=streamed, strict=strict, started_ns=1)
    exchange = Exchange(Pool(), HttpRequest("POST", Origin("http", "h", 80), "/", ()), Timeouts())
    tap.watch(exchange)
    for stamp, data in packets:
        exchange.on_data(stamp, data)
    if error is not None:
        exchange.on_error(error)
    return tap


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (gevent.GreenletExit(), FailureKind.CANCELLED),
        (KeyboardInterrupt(), FailureKind.CANCELLED),
        (SystemExit(), FailureKind.CANCELLED),
        (gevent.Timeout(3), FailureKind.TIMEOUT),
        (TimeoutError("mine"), FailureKind.TIMEOUT),
        (KeyError("x"), FailureKind.CLIENT),
    ],
)
def test_why_a_call_was_cut(error, kind):
    """The end of the test cancels; a timeout of the caller's own does not pass for it."""
    assert cut_by(error).kind is kind


def test_nothing_sent_is_a_failure():
    """A tap that watched no attempt is no success."""
    tap = Tap(by_name("openai-chat"), streamed=True)
    outcome = tap.settle()
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.CLIENT
    assert outcome.attempts == 0


def test_a_reply_given_up_in_silence_is_no_success():
    """Neither error nor cut, but not whole: the caller's doing."""
    for packets in ((), ((5, HEAD + TOKEN),)):
        outcome = tapped(*packets).settle()
        assert outcome.failure is not None
        assert outcome.failure.kind is FailureKind.CLIENT


def test_the_last_attempt_is_the_one_that_counts():
    """Attempts add up; status and reply are the last one's, the start the first one's."""
    tap = tapped((5, b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n"))
    last = tapped((9, HEAD + TOKEN + DONE), (10, b"")).exchange
    assert last is not None
    tap.watch(last)
    outcome = tap.settle()
    assert (outcome.failure, outcome.attempts, outcome.status, outcome.started_ns) == (None, 2, 200, 1)


def test_stamps_are_those_of_the_bytes():
    """Ttft from the first token, the end at the last token and not at what follows it."""
    outcome = tapped((100, HEAD), (200, TOKEN), (350, TOKEN), (700, DONE), (900, b"")).settle()
    assert (outcome.decoded.first_output_ns, outcome.ended_ns) == (200, 350)
    assert outcome.decoded.token_ns == [200, 350]


@pytest.mark.parametrize("error", [None, BROKEN], ids=["clean", "broken"])
def test_the_terminal_event_makes_a_success(error):
    """Whatever the connection did after it, also when the caller was cut then."""
    for cut in (None, cut_by(gevent.GreenletExit())):
        tap = tapped((5, HEAD + TOKEN + DONE), error=error)
        assert tap.saw_end()
        assert tap.settle(cut=cut).failure is None


def test_what_the_server_said_comes_before_how_it_ended():
    """An error event tells more than the reset that follows it."""
    tap = tapped((5, HEAD + b'data: {"error":{"message":"hot"}}\n\n'), error=BROKEN)
    outcome = tap.settle()
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.STREAM_ERROR
    assert not tap.saw_end()


def test_a_lenient_stream_needs_no_terminal_event():
    """A finish reason and a whole body will do for servers that send no more; a reset will not."""
    stop = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    whole = ((5, HEAD + TOKEN + stop), (6, b""))
    assert tapped(*whole, strict=False).settle().failure is None
    for tap in (tapped(*whole), tapped(whole[0], strict=False, error=BROKEN)):
        assert tap.settle().failure is not None


def answering(*headers: bytes) -> Exchange:
    """An attempt that was refused with these headers."""
    exchange = Exchange(Pool(), HttpRequest("POST", Origin("http", "h", 80), "/", ()), Timeouts())
    exchange.sent_ns = 10
    exchange.on_data(20, b"HTTP/1.1 429 Too Many Requests\r\n" + b"".join(headers) + b"Content-Length: 2\r\n\r\n{}")
    return exchange


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([b"Retry-After: 7\r\n"], 7.0),
        ([b"Retry-After: 0.5\r\n"], 0.5),
        ([b"retry-after-ms: 250\r\n", b"Retry-After: 1\r\n"], 0.25),
        ([b"Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"], 0.0),
        ([b"Retry-After: soon\r\n"], None),
        ([b"Retry-After: -1\r\n"], None),
        ([b"Retry-After: nan\r\n"], None),
        ([b"Retry-After: 1e300\r\n"], None),
        ([b"Retry-After: Wed, 21 Oct 9999 07:28:00 GMT\r\n"], None),
        ([], None),
    ],
)
def test_how_long_a_reply_asks_to_wait(headers, seconds):
    """Seconds, milliseconds of OpenAI's, or a date; nonsense and centuries are no wish."""
    assert retry_after(answering(*headers).response.header) == seconds


def test_every_try_of_a_failed_call_is_told():
    """When each began and ended, and what it was told to wait; a call that succeeded at once has none."""
    tap = Tap(by_name("openai-chat"), streamed=False)
    tap.watch(answering(b"Retry-After: 3\r\n"))
    tap.attempt_over()
    tap.watch(answering())
    tries = tap.settle().tries
    assert [one.retry_after_s for one in tries] == [3.0, None]
    assert all(one.started_ns == 10 and one.ended_ns > one.started_ns for one in tries)
    assert tries[0].ended_ns <= tries[1].ended_ns
    whole = tapped((20, HEAD + TOKEN + DONE), strict=False)
    assert whole.settle().tries == ()
