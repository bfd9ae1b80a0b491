"""The real SDKs, unpatched, read every route of the mock as their own server's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import jsonschema  # type: ignore[import-untyped]
import openai
import pydantic
import pytest

from agentlocust.mock.embedded import EmbeddedMock

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
RESPONSES_TOOLS: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]
CLAUDE_TOOLS: Any = [{"name": "weather", "input_schema": SCHEMA}]
ASKED: Any = [{"role": "user", "content": "How is the weather in Oslo?"}]


@pytest.fixture(scope="module")
def mock() -> Iterator[EmbeddedMock]:
    running = EmbeddedMock.start("ttft=0,itl=0,tokens=6,cached=0.5,cache_write=0.25", 1)
    yield running
    running.stop()


@pytest.fixture
def gpt(mock: EmbeddedMock) -> Iterator[openai.OpenAI]:
    httpx2.post(mock.url + "/_truth/reset")
    with openai.OpenAI(base_url=mock.url + "/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(mock: EmbeddedMock) -> Iterator[anthropic.Anthropic]:
    httpx2.post(mock.url + "/_truth/reset")
    with anthropic.Anthropic(base_url=mock.url, api_key="k", max_retries=0) as client:
        yield client


def tokens_of(mock: EmbeddedMock) -> dict[str, int]:
    """The tokens in the mock's books."""
    found: dict[str, int] = httpx2.get(mock.url + "/_truth").json()["tokens"]
    return found


def test_chat(mock: EmbeddedMock, gpt: openai.OpenAI) -> None:
    """An unstreamed chat has text, a request id and the usage that the books have."""
    reply = gpt.chat.completions.create(model="mock", messages=ASKED)
    assert len((reply.choices[0].message.content or "").split()) == 6
    assert (reply._request_id or "").startswith("req_")
    assert reply.usage is not None
    assert reply.usage.prompt_tokens_details is not None
    tokens = tokens_of(mock)
    assert tokens["input"] == reply.usage.prompt_tokens
    assert tokens["cache_read"] == reply.usage.prompt_tokens_details.cached_tokens == tokens["input"] // 2
    assert tokens["output"] == reply.usage.completion_tokens == 6


def test_chat_stream(mock: EmbeddedMock, gpt: openai.OpenAI) -> None:
    """A streamed chat has a chunk a token and ends with usage."""
    chunks = list(
        gpt.chat.completions.create(
            model="mock@reasoning_tokens=3", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    )
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(said) == 6
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens == tokens_of(mock)["output"] == 9
    assert usage.completion_tokens_details.reasoning_tokens == tokens_of(mock)["reasoning"] == 3


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "weather"}}])
def test_chat_tools(gpt: openai.OpenAI, choice: Any) -> None:
    """A tool is called with arguments of its schema, and its result brings the final answer."""
    message = gpt.chat.completions.create(model="mock", messages=ASKED, tools=CHAT_TOOLS, tool_choice=choice).choices[0]
    assert message.finish_reason == "tool_calls"
    assert message.message.tool_calls is not None
    call = message.message.tool_calls[0]
    assert call.type == "function"
    jsonschema.validate(json.loads(call.function.arguments), SCHEMA)
    turn: Any = [*ASKED, message.message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "sun"}]
    final = gpt.chat.completions.create(model="mock", messages=turn, tools=CHAT_TOOLS).choices[0]
    assert final.finish_reason == "stop"
    assert final.message.content


def test_chat_tools_streamed_in_parallel(gpt: openai.OpenAI) -> None:
    """The SDK's own accumulator puts two streamed calls together."""
    with gpt.chat.completions.stream(model="mock@tool_calls=2", messages=ASKED, tools=CHAT_TOOLS) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert len({call.id for call in calls}) == 2
    for call in calls:
        jsonschema.validate(json.loads(call.function.arguments), SCHEMA)


class Trip(pydantic.BaseModel):
    """A shape to answer in."""

    city: str
    days: int


def test_chat_and_responses_in_a_schema(gpt: openai.OpenAI) -> None:
    """Structured output parses into the caller's own type."""
    chat = gpt.chat.completions.parse(model="mock", messages=ASKED, response_format=Trip)
    assert isinstance(chat.choices[0].message.parsed, Trip)
    response = gpt.responses.parse(model="mock", input="Where to?", text_format=Trip)
    assert isinstance(response.output_parsed, Trip)
    loose = gpt.chat.completions.create(model="mock", messages=ASKED, response_format={"type": "json_object"})
    assert isinstance(json.loads(loose.choices[0].message.content or ""), dict)


def test_responses(mock: EmbeddedMock, gpt: openai.OpenAI) -> None:
    """An unstreamed response has text and the books' usage, and is incomplete at its limit."""
    reply = gpt.responses.create(model="mock@reasoning_tokens=2", input="How is the weather?")
    assert len(reply.output_text.split()) == 6
    assert reply.usage is not None
    tokens = tokens_of(mock)
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (tokens["input"], tokens["output"])
    assert reply.usage.output_tokens_details.reasoning_tokens == 2
    short = gpt.responses.create(model="mock", input="How is the weather?", max_output_tokens=4)
    assert (short.status, len(short.output_text.split())) == ("incomplete", 4)


def test_responses_stream(gpt: openai.OpenAI) -> None:
    """The SDK's accumulator follows every event to the completed response."""
    with gpt.responses.stream(model="mock@reasoning_tokens=2", input=ASKED) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == final.output_text
    assert len(deltas) == 6


@pytest.mark.parametrize("streamed", [False, True])
def test_responses_tools(gpt: openai.OpenAI, streamed: bool) -> None:
    """A function call, then its output, then a final answer, streamed or not."""

    def answer(items: Any) -> Any:
        if not streamed:
            return gpt.responses.create(model="mock", input=items, tools=RESPONSES_TOOLS)
        with gpt.responses.stream(model="mock", input=items, tools=RESPONSES_TOOLS) as stream:
            return stream.until_done().get_final_response()

    call = answer(ASKED).output[0]
    assert call.type == "function_call"
    jsonschema.validate(json.loads(call.arguments), SCHEMA)
    said = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
    assert answer([*ASKED, said, output]).output_text


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_embeddings(mock: EmbeddedMock, gpt: openai.OpenAI, encoding: Any) -> None:
    """One unit vector an input, of the length that was asked for."""
    options = {} if encoding is None else {"encoding_format": encoding}
    reply = gpt.embeddings.create(model="mock", input=["one", "two"], dimensions=64, **options)
    assert len(reply.data) == 2
    if encoding != "base64":
        assert len(reply.data[1].embedding) == 64
        assert sum(x * x for x in reply.data[1].embedding) == pytest.approx(1, abs=1e-4)
    assert reply.usage.prompt_tokens == tokens_of(mock)["input"] == 2


def test_models(gpt: openai.OpenAI) -> None:
    """Models are listed, found, and not found."""
    assert "gpt-4o-mini" in [model.id for model in gpt.models.list()]
    assert gpt.models.retrieve("anything").id == "anything"
    with pytest.raises(openai.NotFoundError):
        gpt.models.retrieve("missing-one")


def test_messages(mock: EmbeddedMock, claude: anthropic.Anthropic) -> None:
    """An unstreamed message has text and the books' usage, its input kinds apart."""
    reply = claude.messages.create(model="mock", max_tokens=50, system="Be brief.", messages=ASKED)
    assert reply.stop_reason == "end_turn"
    assert (reply._request_id or "").startswith("req_")
    usage = reply.usage
    tokens = tokens_of(mock)
    assert (
        usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        == (tokens["input"])
    )
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (
        tokens["cache_read"],
        tokens["cache_write"],
    )
    assert usage.output_tokens == tokens["output"] == 6


def test_messages_stream_with_thinking(mock: EmbeddedMock, claude: anthropic.Anthropic) -> None:
    """Thinking comes first, signed, and is a part of the output tokens."""
    with claude.messages.stream(
        model="mock", max_tokens=2000, messages=ASKED, thinking={"type": "enabled", "budget_tokens": 1024}
    ) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.content[0].type == "thinking"
    assert final.content[0].signature
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == tokens_of(mock)["output"] == 16 + 6


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "weather"}])
@pytest.mark.parametrize("streamed", [False, True])
def test_messages_tools(claude: anthropic.Anthropic, choice: Any, streamed: bool) -> None:
    """A tool use with input of its schema, then the final answer after its result."""
    common: Any = {"model": "mock", "max_tokens": 500, "tools": CLAUDE_TOOLS}
    if streamed:
        with claude.messages.stream(messages=ASKED, tool_choice=choice, **common) as stream:
            first: Any = stream.get_final_message()
    else:
        first = claude.messages.create(messages=ASKED, tool_choice=choice, **common)
    assert first.stop_reason == "tool_use"
    use = first.content[0]
    jsonschema.validate(use.input, SCHEMA)
    said: Any = {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": use.id, "name": use.name, "input": use.input}],
    }
    result: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sun"}]}
    final = claude.messages.create(messages=[*ASKED, said, result], **common)
    assert final.stop_reason == "end_turn"


def test_count_tokens_is_the_input_of_the_message(claude: anthropic.Anthropic) -> None:
    """The count agrees with the usage of the same message."""
    count = claude.messages.count_tokens(model="mock", messages=ASKED).input_tokens
    usage = claude.messages.create(model="mock", max_tokens=5, messages=ASKED).usage
    assert count == usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_openai_errors(gpt: openai.OpenAI, status: int, error: type[openai.APIStatusError]) -> None:
    """Each status raises the SDK's own class, with a request id."""
    with pytest.raises(error) as caught:
        gpt.chat.completions.create(model=f"mock@status={status}", messages=ASKED)
    assert caught.value.status_code == status
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("bad_request", 400, "invalid_request_error"),
        ("auth", 401, "authentication_error"),
        ("quota", 402, "billing_error"),
        ("not_found", 404, "not_found_error"),
        ("rate_limited", 429, "rate_limit_error"),
        ("server_error", 500, "api_error"),
        ("overloaded", 529, "overloaded_error"),
    ],
)
def test_anthropic_errors(claude: anthropic.Anthropic, name: str, status: int, kind: str) -> None:
    """Each failure has Anthropic's status and type."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        claude.messages.create(model=f"mock@status={name}", max_tokens=5, messages=ASKED)
    assert caught.value.status_code == status
    assert caught.value.type == kind


def test_an_error_inside_a_stream_is_seen(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    """An error event in a stream that began well is raised; the Responses API's is a typed event."""
    events = list(gpt.responses.create(model="mock@error_after=2", input="x", stream=True))
    assert events[-1].type == "error"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    with pytest.raises(openai.APIError):
        list(gpt.chat.completions.create(model="mock@error_after=2", messages=ASKED, stream=True))
    with pytest.raises(anthropic.APIStatusError):
        list(claude.messages.create(model="mock@error_after=2", max_tokens=9, messages=ASKED, stream=True))
