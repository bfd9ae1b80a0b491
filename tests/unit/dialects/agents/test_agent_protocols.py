"""Each protocol reads what its services send: recorded shapes, any pieces, any bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_turns import play, sse, told
from agentlocust.dialects.agents import by_name
from agentlocust.dialects.agents.base import AgentProtocol, Conversation, Framing, Message
from agentlocust.failures import FailureKind
from agentlocust.usage import Usage

USAGE = Usage(uncached_input=7, output=5)


def line(**event: Any) -> str:
    return json.dumps(event)


def rpc(**result: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result})


MAPPING: dict[str, Any] = {
    "text": {"path": "delta", "when": {"type": "text"}},
    "reasoning": {"path": "delta", "when": {"type": "thinking"}},
    "tool_call": {"when": {"type": "tool"}, "id": "id", "name": "name", "arguments": "input"},
    "tool_result": {"when": {"type": "tool_result"}, "id": "id", "text": "output"},
    "usage": "usage",
    "model": "model",
    "session": "session",
    "done": {"type": "end"},
    "error": "error.message",
}
MAPPED = (
    line(type="start", session="s1"),
    line(type="thinking", delta="hm"),
    line(type="tool", id="t1", name="find", input={"order": 42}),
    line(type="tool_result", id="t1", output="shipped"),
    line(type="text", delta="On its "),
    line(type="text", delta="wäy"),
    line(type="usage", usage={"input_tokens": 7, "output_tokens": 5}, model="m"),
    line(type="end"),
)
AG_UI = (
    line(type="RUN_STARTED", threadId="s1", runId="r"),
    line(type="REASONING_MESSAGE_CONTENT", messageId="m0", delta="hm"),
    line(type="TOOL_CALL_START", toolCallId="t1", toolCallName="find"),
    line(type="TOOL_CALL_ARGS", toolCallId="t1", delta='{"order":'),
    line(type="TOOL_CALL_ARGS", toolCallId="t1", delta="42}"),
    line(type="TOOL_CALL_END", toolCallId="t1"),
    line(type="TOOL_CALL_RESULT", messageId="m2", toolCallId="t1", content="shipped"),
    line(type="TEXT_MESSAGE_CONTENT", messageId="m1", delta="On its "),
    line(type="TEXT_MESSAGE_CONTENT", messageId="m1", delta="wäy"),
    line(
        type="RUN_FINISHED",
        threadId="s1",
        runId="r",
        usage=[{"model": "m", "inputTokens": 7, "outputTokens": 5}],
        outcome={"type": "success"},
    ),
)
A2A_1 = (
    rpc(task={"id": "t", "contextId": "s1", "status": {"state": "TASK_STATE_SUBMITTED"}, "history": []}),
    rpc(statusUpdate={"taskId": "t", "contextId": "s1", "status": {"state": "TASK_STATE_WORKING"}}),
    rpc(artifactUpdate={"taskId": "t", "contextId": "s1", "artifact": {"parts": [{"text": "On its "}]}}),
    rpc(
        artifactUpdate={
            "taskId": "t",
            "contextId": "s1",
            "artifact": {"parts": [{"text": "wäy"}], "metadata": {"usage": {"input_tokens": 7, "output_tokens": 5}}},
            "append": True,
        }
    ),
    rpc(statusUpdate={"taskId": "t", "contextId": "s1", "status": {"state": "TASK_STATE_COMPLETED"}}),
)
A2A_03 = (
    rpc(kind="task", id="t", contextId="s1", status={"state": "submitted"}),
    rpc(kind="status-update", taskId="t", contextId="s1", status={"state": "working"}, final=False),
    rpc(kind="artifact-update", taskId="t", contextId="s1", artifact={"parts": [{"kind": "text", "text": "On its "}]}),
    rpc(kind="artifact-update", taskId="t", contextId="s1", artifact={"parts": [{"kind": "text", "text": "wäy"}]}),
    rpc(
        kind="status-update",
        taskId="t",
        contextId="s1",
        status={"state": "completed"},
        final=True,
        metadata={"usage": {"input_tokens": 7, "output_tokens": 5}},
    ),
)
LANGGRAPH = (
    sse(line(run_id="r"), name="metadata")
    + sse(
        json.dumps([{"type": "AIMessageChunk", "id": "a", "content": [{"type": "thinking", "thinking": "hm"}]}, {}]),
        json.dumps(
            [
                {
                    "type": "AIMessageChunk",
                    "id": "a",
                    "content": "",
                    "tool_call_chunks": [{"name": "find", "args": "", "id": "t1", "index": 0}],
                },
                {},
            ]
        ),
        json.dumps(
            [
                {
                    "type": "AIMessageChunk",
                    "id": "a",
                    "content": "",
                    "tool_call_chunks": [{"name": None, "args": '{"order":42}', "id": None, "index": 0}],
                    "usage_metadata": {"input_tokens": 3, "output_tokens": 4},
                    "response_metadata": {"model_name": "m"},
                },
                {},
            ]
        ),
        json.dumps([{"type": "tool", "id": "x", "tool_call_id": "t1", "name": "find", "content": "shipped"}, {}]),
        json.dumps([{"type": "AIMessageChunk", "id": "b", "content": "On its "}, {}]),
        json.dumps(
            [
                {
                    "type": "AIMessageChunk",
                    "id": "b",
                    "content": "wäy",
                    "usage_metadata": {"input_tokens": 4, "output_tokens": 1},
                    "response_metadata": {"model_name": "m"},
                },
                {},
            ]
        ),
        name="messages",
    )
    + sse("null", name="end")
)
CHAT = (
    line(id="c", model="m", choices=[{"index": 0, "delta": {"role": "assistant", "reasoning_content": "hm"}}]),
    line(id="c", model="m", choices=[{"index": 0, "delta": {"content": "On its "}}]),
    line(id="c", model="m", choices=[{"index": 0, "delta": {"content": "wäy"}}]),
    line(id="c", model="m", choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
    line(id="c", model="m", choices=[], usage={"prompt_tokens": 7, "completion_tokens": 5}),
    "[DONE]",
)
RESPONSE = {
    "id": "resp_1",
    "model": "m",
    "status": "completed",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "On its wäy"}]}],
    "usage": {"input_tokens": 7, "output_tokens": 5},
}
RESPONSES = (
    line(type="response.created", response={"id": "resp_1", "model": "m"}),
    line(type="response.reasoning_summary_text.delta", delta="hm", output_index=0),
    line(type="response.output_text.delta", delta="On its ", output_index=1),
    line(type="response.output_text.delta", delta="wäy", output_index=1),
    line(type="response.completed", response=RESPONSE),
)


@dataclass(frozen=True)
class Case:
    """A protocol, a recorded reply, and what of the full answer it tells."""

    protocol: AgentProtocol
    framing: Framing
    body: bytes
    before: tuple[tuple[Framing, bytes], ...] = ()
    tools: bool = True
    reasoning: bool = True
    model: str = "m"
    session: str = "s1"


CASES = {
    "sse": Case(by_name("sse", mapping=MAPPING), Framing.SSE, sse(*MAPPED)),
    "ndjson": Case(by_name("ndjson", mapping=MAPPING), Framing.NDJSON, "\n".join((*MAPPED, "")).encode()),
    "ag-ui": Case(by_name("ag-ui"), Framing.SSE, sse(*AG_UI)),
    "a2a 1.0": Case(by_name("a2a"), Framing.SSE, sse(*A2A_1), tools=False, reasoning=False, model=""),
    "a2a 0.3": Case(
        by_name("a2a", options={"version": "0.3"}), Framing.SSE, sse(*A2A_03), tools=False, reasoning=False, model=""
    ),
    "langgraph": Case(by_name("langgraph"), Framing.SSE, LANGGRAPH, before=((Framing.JSON, b'{"thread_id": "s1"}'),)),
    "openai-chat": Case(by_name("openai-chat"), Framing.SSE, sse(*CHAT), tools=False, session=""),
    "openai-responses": Case(by_name("openai-responses"), Framing.SSE, sse(*RESPONSES), tools=False, session="resp_1"),
}


@pytest.fixture(params=CASES)
def case(request):
    """One protocol and its recorded reply."""
    return CASES[request.param]


def test_a_recorded_reply_is_read_whole(case):
    """Text, reasoning, tools and their results, usage, session and end are where each protocol has them."""
    answer = play(case.protocol, [*case.before, (case.framing, case.body)])
    assert answer.failure is None
    assert answer.text == "On its wäy"
    assert answer.reasoning == ("hm" if case.reasoning else "")
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("find", {"order": 42})] * case.tools
    assert [(result.id, result.content) for result in answer.results] == [("t1", "shipped")] * case.tools
    assert answer.usages == {case.model: USAGE}
    assert answer.session_id == case.session


@given(data=st.data())
def test_split_anywhere_it_is_the_same_answer(data):
    """The pieces in which bytes arrive change nothing but the stamps."""
    case = CASES[data.draw(st.sampled_from(sorted(CASES)))]
    cuts = data.draw(st.lists(st.integers(1, len(case.body)), max_size=20))
    whole = play(case.protocol, [*case.before, (case.framing, case.body)])
    pieces = play(case.protocol, [*case.before, (case.framing, case.body)], cuts=cuts)
    assert told(pieces) == told(whole)


def test_a_reply_that_is_cut_is_no_answer(case):
    """Without the protocol's last event the stream is truncated; what came is kept."""
    half = case.body[: case.body.index(b"its") + 6]
    answer = play(case.protocol, [*case.before, (case.framing, half)], complete=False)
    assert answer.failure is not None
    assert answer.failure.kind in (FailureKind.TRUNCATED_STREAM, FailureKind.MALFORMED_STREAM)


@settings(max_examples=200)
@given(data=st.data())
def test_no_bytes_make_a_reader_raise(data):
    """Whatever a service sends, it is read as an answer or as a failure."""
    case = CASES[data.draw(st.sampled_from(sorted(CASES)))]
    turn = case.protocol.turn("hello", Conversation(id=data.draw(st.sampled_from(["", "s"]))), {})
    turn.request()
    junk = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
        max_leaves=20,
    )
    bodies = st.binary(max_size=60) | junk.map(lambda value: json.dumps(value).encode())
    names = st.sampled_from([b"", b"messages", b"messages/partial", b"error", b"end", b"\xff"])
    for stamp in range(data.draw(st.integers(1, 6))):
        framing = data.draw(st.sampled_from(Framing))
        turn.read(Message(stamp, data.draw(bodies), data.draw(names), framing))
    turn.end(9, complete=data.draw(st.booleans()))
    turn.request()


WORDS = (
    "type error message result task status state parts text contextId statusUpdate artifactUpdate artifact kind data "
    "metadata usage input_tokens output_tokens model delta choices content tool_calls tool_call_chunks usage_metadata "
    "id thread_id toolCallId outcome threadId session response output function name args index input_token_details"
).split()


@pytest.mark.parametrize(
    ("name", "body", "kind", "words"),
    [
        ("ag-ui", sse(line(type="RUN_ERROR", message="no such order", code="x")), "stream_error", "x: no such order"),
        ("ag-ui", sse(line(type="RUN_FINISHED", outcome={"type": "cancelled"})), "stream_error", "cancelled"),
        ("ag-ui", sse(line(type="RUN_FINISHED")), "empty", "nothing"),
        ("a2a", sse('{"jsonrpc":"2.0","error":{"code":-32601,"message":"what?"}}'), "not_found", "what? (-32601)"),
        (
            "a2a",
            sse(
                rpc(
                    statusUpdate={
                        "status": {"state": "TASK_STATE_FAILED", "message": {"parts": [{"text": "no such order"}]}}
                    }
                )
            ),
            "stream_error",
            "no such order",
        ),
        ("a2a", sse(rpc(statusUpdate={"status": {"state": "TASK_STATE_AUTH_REQUIRED"}})), "auth", "auth-required"),
        ("openai-chat", sse('{"error": {"message": "overloaded", "type": "x"}}'), "stream_error", "overloaded"),
    ],
)
def test_an_agents_own_error_is_told(name, body, kind, words):
    """What the service says went wrong is the failure's text."""
    answer = play(by_name(name), [(Framing.SSE, body)])
    assert answer.failure is not None
    assert answer.failure.kind == kind
    assert words in answer.failure.message


def test_a_langgraph_error_event_ends_the_run():
    """Its class and its words are told."""
    body = sse('{"error": "ValueError", "message": "no such order"}', name="error")
    answer = play(by_name("langgraph"), [(Framing.SSE, body)], conversation=Conversation(id="t"))
    assert answer.failure is not None
    assert answer.failure.message == "ValueError: no such order"


def test_a_task_is_polled_until_it_ends():
    """Its state is asked for again and again, and its artifacts are read once, at the end."""
    protocol = by_name("a2a", options={"mode": "poll", "poll": "20ms"})
    turn = protocol.turn("hello", Conversation(), {})
    first = turn.request()
    assert first.body["params"]["configuration"] == {"returnImmediately": True}
    task = {"id": "t", "contextId": "c", "artifacts": [{"parts": [{"text": "On its way"}]}]}
    working = {**task, "status": {"state": "TASK_STATE_WORKING"}}
    turn.read(Message(1, rpc(task=working).encode(), framing=Framing.JSON))
    assert turn.end(1, complete=True) == []
    again = turn.request()
    assert (again.body["method"], again.body["params"], again.after_s) == ("GetTask", {"id": "t"}, 0.02)
    events = turn.read(Message(2, rpc(**task, status={"state": "TASK_STATE_COMPLETED"}).encode(), framing=Framing.JSON))
    assert [(event.kind, event.text) for event in events] == [("text", "On its way"), ("done", "completed")]
    assert turn.request() is None


def test_an_agent_that_asks_back_gets_the_answer_on_the_same_task():
    """`input-required` ends the turn with the question; the next names the task."""
    protocol = by_name("a2a", options={"version": "0.3", "mode": "send"})
    conversation = Conversation()
    asks = {"parts": [{"kind": "text", "text": "Which order?"}]}
    reply = rpc(kind="task", id="t", contextId="c", status={"state": "input-required", "message": asks})
    answer = play(protocol, [(Framing.JSON, reply.encode())], conversation=conversation)
    assert (answer.text, answer.failure) == ("Which order?", None)
    message = protocol.turn("42", conversation, {}).request().body["params"]["message"]
    assert (message["taskId"], message["contextId"]) == ("t", "c")


@pytest.mark.parametrize("name", ["openai-chat", "ag-ui"])
def test_a_conversation_without_a_server_side_is_sent_whole(name):
    """The second turn holds both messages of the first; a failed turn leaves none."""
    conversation = Conversation()
    case = CASES[name]
    play(case.protocol, [(case.framing, case.body)], conversation=conversation)
    play(case.protocol, [(case.framing, b"")], conversation=conversation, complete=False)
    said = case.protocol.turn("And 43?", conversation, {}).request().body["messages"]
    assert [message["role"] for message in said] == ["user", "assistant", "user"]
    assert said[1]["content"] == "On its wäy"


def test_the_responses_api_is_told_the_last_response():
    """The next turn continues from its id."""
    conversation = Conversation()
    case = CASES["openai-responses"]
    play(case.protocol, [(case.framing, case.body)], conversation=conversation)
    assert case.protocol.turn("And 43?", conversation, {}).request().body["previous_response_id"] == "resp_1"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (
            "openai-chat",
            {
                "model": "m",
                "choices": [
                    {
                        "message": {
                            "content": "On",
                            "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{}"}}],
                        }
                    }
                ],
                "usage": {"prompt_tokens": 7, "completion_tokens": 5},
            },
        ),
        ("openai-responses", RESPONSE),
    ],
)
def test_a_reply_that_is_not_streamed_is_read_too(name, body):
    """One JSON body makes the same kinds of events."""
    answer = play(by_name(name, stream=False), [(Framing.JSON, json.dumps(body).encode())])
    assert answer.failure is None
    assert answer.text.startswith("On")
    assert answer.usages == {"m": USAGE}


def test_a_langgraph_session_makes_one_thread():
    """The second turn runs on the first one's thread."""
    protocol, conversation = by_name("langgraph", options={"assistant": "shop"}), Conversation()
    turn = protocol.turn("hello", conversation, {})
    assert turn.request().path == "/threads"
    turn.read(Message(1, b'{"thread_id": "a/b"}', framing=Framing.JSON))
    assert turn.end(1, complete=True) == []
    request = turn.request()
    assert (request.path, request.body["assistant_id"]) == ("/threads/a%2Fb/runs/stream", "shop")
    assert protocol.turn("again", conversation, {}).request().path == "/threads/a%2Fb/runs/stream"
