"""Conversations that the mock holds for a client."""

from __future__ import annotations

import pytest

from agentlocust.dialects.answers import Answer, FunctionCall
from agentlocust.mock.asks import BadAsk
from agentlocust.mock.threads import MAX_HELD, Threads

ASKED = {
    "model": "m",
    "max_tokens": 9,
    "system": "s",
    "tools": [{"name": "t"}],
    "messages": [{"role": "user", "content": "hello"}],
    "thread": {"type": "create"},
}


def continuing(identity: str) -> dict:
    """What a client sends that continues a reply."""
    new = [{"role": "user", "content": "and?"}]
    thread = {"type": "continue", "previous_message_id": identity}
    return {"model": "m", "max_tokens": 9, "messages": new, "thread": thread}


def test_what_continues_a_thread_is_made_whole():
    """The messages before, the reply and the thread's own system text and tools are there again."""
    threads = Threads()
    answer = Answer("ab", "m", 0, None, text=("one", " two"), calls=(FunctionCall("c", "t", ('{"a":', "1}")),))
    threads.hold(ASKED, answer)
    whole = threads.whole(continuing("msg_ab"))
    assert whole["system"] == "s"
    assert whole["tools"] == [{"name": "t"}]
    assert [message["role"] for message in whole["messages"]] == ["user", "assistant", "user"]
    assert whole["messages"][1]["content"] == [
        {"type": "text", "text": "one two"},
        {"type": "tool_use", "id": "toolu_c", "name": "t", "input": {"a": 1}},
    ]
    threads.hold(whole, Answer("cd", "m", 0, None, text=("yes",)))
    assert len(threads.whole(continuing("msg_cd"))["messages"]) == 5


def test_a_body_without_a_thread_is_as_it_was():
    """And its answer is not held."""
    threads = Threads()
    body = {key: value for key, value in ASKED.items() if key != "thread"}
    assert threads.whole(body) is body
    threads.hold(body, Answer("ab", "m", 0, None))
    with pytest.raises(BadAsk):
        threads.whole(continuing("msg_ab"))


def test_only_so_many_are_held():
    """The oldest is forgotten, and told as not found."""
    threads = Threads()
    for number in range(MAX_HELD + 1):
        threads.hold(ASKED, Answer(str(number), "m", 0, None))
    assert threads.whole(continuing(f"msg_{MAX_HELD}"))
    with pytest.raises(BadAsk) as lost:
        threads.whole(continuing("msg_0"))
    assert lost.value.problem.status == 404


@pytest.mark.parametrize("thread", [None, 3, "continue", {"type": "continue"}, {"type": "other"}])
def test_a_hostile_thread_is_no_crash(thread):
    """Not found, or a request like any other."""
    threads = Threads()
    body = {**ASKED, "thread": thread, "messages": 5}
    if isinstance(thread, dict) and thread["type"] == "continue":
        with pytest.raises(BadAsk):
            threads.whole(body)
    else:
        assert threads.whole(body) == body
    threads.hold(body, Answer("ab", "m", 0, None))
