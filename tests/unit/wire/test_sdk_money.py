"""Each attempt of an SDK's call has its own money, settled once, whatever came of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agentlocust import dialects
from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.wire.sdk import SdkCall, _refusal

DIALECT = dialects.by_name("openai-chat")


class Money:
    """Remembers how it was settled."""

    waited = False

    def __init__(self, waited=False) -> None:
        self.waited = waited
        self.settled: list[int | None] = []

    def settle(self, cost: int | None) -> None:
        self.settled.append(cost)


def attempt(status=0, error: FailureKind | None = None):
    """As much of an ended exchange as a call looks at."""
    response = SimpleNamespace(status_code=status, final=bool(status), header=lambda name: "")
    wrong = error and WireError(error, "")
    return SimpleNamespace(response=response, error=wrong, issued_ns=77, sent_ns=78, struck=(), close=lambda: None)


@pytest.mark.parametrize(
    ("first", "cost"),
    [
        (attempt(status=500), 0),
        (attempt(error=FailureKind.CONNECT), 0),
        (attempt(error=FailureKind.TIMEOUT), None),
        (attempt(status=200, error=FailureKind.RESET), None),
    ],
)
def test_an_attempt_that_is_tried_again_is_settled_first(first, cost):
    """Refused or never sent it cost nothing; cut in mid-reply it counts in full. The last one's money goes on."""
    ended: list[object] = []
    call = SdkCall(lambda tap, model, *, cut, reservation=None: ended.append(reservation))
    moneys = Money(), Money()
    for exchange, money in zip((first, attempt(status=200)), moneys, strict=True):
        call.settle_attempt()  # before money for the next is asked for
        call.begin(DIALECT, "m", streamed=False, strict=True, exchange=exchange, reserved=money)
        call.attempt_closed(exchange)
    call.sdk_returned()
    assert [money.settled for money in moneys] == [[cost], []]
    assert ended == [moneys[1]]


def test_a_call_that_waited_for_money_counts_from_its_first_attempt():
    """When it was to begin is of no matter then: the wait was none of the target's doing."""
    for waited, started_ns in ((True, 77), (False, 5)):
        call = SdkCall(lambda tap, model, **_: None, started_ns=5)
        call.begin(DIALECT, "m", streamed=False, strict=True, exchange=attempt(200), reserved=Money(waited))
        assert call.tap is not None
        assert call.tap.started_ns == started_ns


def test_a_refusal_reads_like_a_providers_and_asks_for_no_retry():
    """402 is what an exhausted account answers; SDKs give up on it at once."""
    response = _refusal("its run has $0.00 left")
    assert response.status_code == 402
    assert response.headers["x-should-retry"] == "false"
    assert "its run has $0.00 left" in response.json()["error"]["message"]
