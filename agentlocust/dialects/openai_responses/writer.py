"""What OpenAI's Responses API sends: bodies, typed stream events and error events.

Formats: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming.
Headers and error bodies are those of the Chat Completions writer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from agentlocust.dialects.answers import Answer, Frames, FunctionCall, Problem, quoted
from agentlocust.usage import Usage

_REASONS = {"length": "max_output_tokens", "filter": "content_filter"}  # why a response is incomplete


def usage_object(usage: Usage) -> dict[str, Any]:
    """`usage` as this API counts it: the details are parts of the totals."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def body(answer: Answer) -> bytes:
    """The whole of an unstreamed reply."""
    return _json(_response(answer, _final_status(answer)))


def frames(answer: Answer) -> Frames:
    """The stream of a reply: typed events, numbered from 0 without a gap."""
    numbers = count()

    def closing() -> bytes:
        status = _final_status(answer)
        last = {"response": _response(answer, status)}
        return _end_of_items(answer, numbers) + _event(f"response.{status}", numbers, last)

    def error(problem: Problem) -> bytes:
        message = problem.message or "The server had an error while processing your request. Sorry about that!"
        return _event("error", numbers, {"code": problem.code or problem.kind, "message": message, "param": None})

    begun = {"response": _response(answer, "in_progress")}
    opening = _event("response.created", numbers, begun) + _event("response.in_progress", numbers, begun)
    return Frames(opening=opening, pieces=_pieces(answer, numbers), closing=closing, error=error)


def _pieces(answer: Answer, numbers: Iterator[int]) -> Iterator[bytes]:
    """One item a piece; an output item's own events come with the first piece of it or of the next."""
    index = 0
    intro = b""
    if answer.reasoning:
        at = {"item_id": _reasoning_id(answer), "output_index": index, "summary_index": 0}
        intro = _event("response.output_item.added", numbers, _item(index, _reasoning_item(answer, "in_progress")))
        empty = {**at, "part": {"type": "summary_text", "text": ""}}
        intro += _event("response.reasoning_summary_part.added", numbers, empty)
        yield from _deltas("response.reasoning_summary_text.delta", at, answer.reasoning, numbers, intro)
        intro = _end_of_reasoning(answer, numbers) if answer.text or answer.calls else b""
        index += 1
    if answer.text:
        at = {"item_id": _message_id(answer), "output_index": index, "content_index": 0}
        intro += _event("response.output_item.added", numbers, _item(index, _message_item(answer, "in_progress")))
        intro += _event("response.content_part.added", numbers, {**at, "part": _text_part("")})
        delta = {**at, "logprobs": []}
        yield from _deltas("response.output_text.delta", delta, answer.text, numbers, intro)
        intro = _end_of_text(answer, index, numbers) if answer.calls else b""
        index += 1
    for order, call in enumerate(answer.calls):
        at = {"item_id": "fc_" + call.id, "output_index": index}
        intro += _event("response.output_item.added", numbers, _item(index, _call_item(call, "in_progress")))
        yield from _deltas("response.function_call_arguments.delta", at, call.pieces, numbers, intro)
        is_last = order == len(answer.calls) - 1
        intro = b"" if is_last else _end_of_call(call, index, "completed", numbers)
        index += 1


def _deltas(
    name: str, at: dict[str, Any], pieces: tuple[str, ...], numbers: Iterator[int], intro: bytes
) -> Iterator[bytes]:
    head = b'event: %s\ndata: {"type":"%s",%s,"sequence_number":' % (name.encode(), name.encode(), _json(at)[1:-1])
    for piece in pieces:
        yield intro + head + b"%d" % next(numbers) + b',"delta":' + quoted(piece) + b"}\n\n"
        intro = b""


def _end_of_items(answer: Answer, numbers: Iterator[int]) -> bytes:
    """The events that end the last output item."""
    index = bool(answer.reasoning) + bool(answer.text) + len(answer.calls) - 1
    if answer.calls:
        return _end_of_call(answer.calls[-1], index, _item_status(answer), numbers)
    if answer.text:
        return _end_of_text(answer, index, numbers)
    return _end_of_reasoning(answer, numbers) if answer.reasoning else b""


def _end_of_reasoning(answer: Answer, numbers: Iterator[int]) -> bytes:
    at = {"item_id": _reasoning_id(answer), "output_index": 0, "summary_index": 0}
    text = "".join(answer.reasoning)
    found = _event("response.reasoning_summary_text.done", numbers, {**at, "text": text})
    part = {**at, "part": {"type": "summary_text", "text": text}}
    found += _event("response.reasoning_summary_part.done", numbers, part)
    return found + _event("response.output_item.done", numbers, _item(0, _reasoning_item(answer, "completed")))


def _end_of_text(answer: Answer, index: int, numbers: Iterator[int]) -> bytes:
    at = {"item_id": _message_id(answer), "output_index": index, "content_index": 0}
    text = "".join(answer.text)
    status = "completed" if answer.calls else _item_status(answer)
    found = _event("response.output_text.done", numbers, {**at, "text": text, "logprobs": []})
    found += _event("response.content_part.done", numbers, {**at, "part": _text_part(text)})
    return found + _event("response.output_item.done", numbers, _item(index, _message_item(answer, status)))


def _end_of_call(call: FunctionCall, index: int, status: str, numbers: Iterator[int]) -> bytes:
    at = {"item_id": "fc_" + call.id, "output_index": index, "name": call.name, "arguments": call.arguments}
    found = _event("response.function_call_arguments.done", numbers, at)
    return found + _event("response.output_item.done", numbers, _item(index, _call_item(call, status)))


def _final_status(answer: Answer) -> str:
    return "incomplete" if answer.finish in _REASONS else "completed"


_item_status = _final_status  # an item cut by the token limit bears the same word as its response


def _reasoning_id(answer: Answer) -> str:
    return "rs_" + answer.id


def _message_id(answer: Answer) -> str:
    return "msg_" + answer.id


def _item(index: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"output_index": index, "item": item}


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _reasoning_item(answer: Answer, status: str) -> dict[str, Any]:
    begun = status == "in_progress"
    summary = [] if begun else [{"type": "summary_text", "text": "".join(answer.reasoning)}]
    return {"id": _reasoning_id(answer), "type": "reasoning", "summary": summary}


def _message_item(answer: Answer, status: str) -> dict[str, Any]:
    content = [] if status == "in_progress" else [_text_part("".join(answer.text))]
    return {"id": _message_id(answer), "type": "message", "status": status, "role": "assistant", "content": content}


def _call_item(call: FunctionCall, status: str) -> dict[str, Any]:
    return {
        "id": "fc_" + call.id,
        "type": "function_call",
        "status": status,
        "call_id": "call_" + call.id,
        "name": call.name,
        "arguments": "" if status == "in_progress" else call.arguments,
    }


def _response(answer: Answer, status: str) -> dict[str, Any]:
    """The response object: without output and usage while it is in progress."""
    begun = status == "in_progress"
    output: list[dict[str, Any]] = []
    if not begun:
        if answer.reasoning:
            output.append(_reasoning_item(answer, "completed"))
        if answer.text:
            output.append(_message_item(answer, status))
        output += [_call_item(call, "completed") for call in answer.calls[:-1]]
        output += [_call_item(call, status) for call in answer.calls[-1:]]
    return {
        "id": "resp_" + answer.id,
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": _REASONS[answer.finish]} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": None,
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if begun or answer.usage is None else usage_object(answer.usage),
        "user": None,
        "metadata": {},
    }


def _event(name: str, numbers: Iterator[int], fields: dict[str, Any]) -> bytes:
    data = {"type": name, "sequence_number": next(numbers), **fields}
    return b"event: " + name.encode() + b"\ndata: " + _json(data) + b"\n\n"


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode("utf-8", "replace")
