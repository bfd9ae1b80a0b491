"""What a User class of a service may be told, and what its records say; no Locust user is made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.dialects.agents.answer import Answer
from agentlocust.dialects.agents.events import AgentEvent, EventKind
from agentlocust.errors import ConfigError
from agentlocust.failures import Failure, FailureKind
from agentlocust.usage import Usage
from agentlocust.users.http_agent_record import Abandonment


def test_nobody_leaves_unless_told():
    """None is nobody."""
    assert Abandonment.parse(None, "Support.abandon") is None


@pytest.mark.parametrize("share", [0.2, "20%"])
def test_a_share_leaves_after_so_long(share):
    """A share is a number or a percentage; the time is a duration."""
    leaving = Abandonment.parse({"share": share, "after": "3s"}, "")
    assert leaving == Abandonment(0.2, 3.0)
    assert leaving.draw(0.19) == 3.0
    assert leaving.draw(0.2) is None


@pytest.mark.parametrize(
    "told",
    [
        {"share": 0.2},
        {"share": 1.2, "after": "3s"},
        {"share": True, "after": "3s"},
        {"share": "many", "after": "3s"},
        {"share": 0.2, "after": "soon"},
        {"share": 0.2, "after": "3s", "why": "bored"},
        0.2,
    ],
)
def test_a_leaving_that_makes_no_sense_is_told_as_such(told):
    """With the place, and what would do."""
    with pytest.raises(ConfigError) as caught:
        Abandonment.parse(told, "Support.abandon")
    assert "Support.abandon" in str(caught.value)


def test_what_comes_after_the_end_is_only_heard_for_its_usage():
    """The first end counts; a late usage still does."""
    answer = Answer()
    answer.take(
        [
            AgentEvent(EventKind.PROGRESS, 1),
            AgentEvent(EventKind.TEXT, 2, "hm", visible=False),
            AgentEvent(EventKind.TOOL_CALL, 3, id="t", name="find", arguments_json="{"),
            AgentEvent(EventKind.TOOL_CALL, 3, id="t", arguments_json="}"),
            AgentEvent(EventKind.TEXT, 4, "hello"),
            AgentEvent(EventKind.DONE, 5),
            AgentEvent(EventKind.TEXT, 6, "too late"),
            AgentEvent(EventKind.FAILED, 6, failure=Failure(FailureKind.STREAM_ERROR, "late")),
            AgentEvent(EventKind.USAGE, 6, usage=Usage(1, output=1), model="m"),
        ]
    )
    answer.settle(generates=True)
    assert (answer.text, answer.reasoning, answer.failure, answer.ended_ns) == ("hello", "hm", None, 5)
    stamps = answer.first_event_ns, answer.first_token_ns, answer.first_tool_ns, answer.first_output_ns
    assert stamps == (1, 2, 3, 4)
    assert [(call.name, call.arguments_json) for call in answer.tool_calls] == [("find", "{}")]
    assert answer.usage == Usage(1, output=1)


@given(st.lists(st.sampled_from(["a", "b", ""]), max_size=6))
def test_an_answer_of_nothing_is_empty(pieces):
    """Unless the protocol's answers may be."""
    answer = Answer()
    answer.take([AgentEvent(EventKind.TEXT, 1, piece) for piece in pieces])
    answer.settle(generates=True)
    assert (answer.failure is None) is any(pieces)
    quiet = Answer()
    quiet.settle(generates=False)
    assert quiet.failure is None
