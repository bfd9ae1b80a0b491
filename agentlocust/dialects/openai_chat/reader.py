"""Reads chat completions, OpenAI's and compatible servers', streamed or whole.

Source: OpenAI's API reference, "The chat completion chunk object". Compatible servers add `reasoning_content`
(DeepSeek, vLLM), `reasoning` and `reasoning_details` (OpenRouter), content as a list of parts (Mistral),
usage inside the choice (Moonshot), whole tool calls with arguments as an object and indices that are
missing or all 0 (Ollama and others).
"""

from __future__ import annotations

from typing import Any

from agentlocust.dialects.base import Decoded, decode_json, dict_of, dicts_of, text_of
from agentlocust.dialects.draft import Draft, ToolDraft, whole_reply
from agentlocust.dialects.failed import error_message
from agentlocust.dialects.template import TextTemplate
from agentlocust.failures import FailureKind
from agentlocust.usage import from_openai_chat


class ChatReader:
    """Reads one streamed chat completion. With `n` > 1 all choices' tokens count; the first one's text is kept."""

    def __init__(self, strict: bool = True) -> None:
        self._strict = strict
        self._draft = Draft()
        self._choice: Any = None  # the index of the choice that is kept
        self._usage: dict[str, Any] | None = None
        self._template = TextTemplate()

    @property
    def so_far(self) -> Decoded:
        """What was told until now; see `StreamReader`."""
        return self._draft.decoded

    def feed(self, stamp_ns: int, event: bytes, data: bytes) -> None:
        """Take one event. After `[DONE]` only a late usage is still heard."""
        draft = self._draft
        decoded = draft.decoded
        text = self._template.text(data)
        if text and not event and not decoded.terminal:
            draft.text.append(text)
            decoded.frame_ns.append(stamp_ns)
            draft.token(stamp_ns, output=True)
            return
        if len(data) < 16 and data.strip() == b"[DONE]":
            decoded.terminal = True
            return
        if decoded.terminal:
            self._late(data)
            return
        chunk = draft.event(event, data)
        if chunk is None:
            return
        if chunk.get("error") or chunk.get("object") == "error":
            draft.fail(FailureKind.STREAM_ERROR, error_message(data))
        if not decoded.id:
            decoded.id = text_of(chunk.get("id"))
        if not decoded.model:
            decoded.model = text_of(chunk.get("model"))
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._usage = usage
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return
        if choices:
            decoded.frame_ns.append(stamp_ns)
        kinds = 0
        for choice in choices:
            if isinstance(choice, dict):
                kinds |= self._read_choice(choice)
        if kinds:
            draft.token(stamp_ns, kinds & OUTPUT != 0)
        if _is_plain(chunk, choices) and choices[0].get("index", 0) == self._choice:
            self._template.learn(data, chunk, ("choices", 0, "delta", "content"))

    @property
    def draft(self) -> Draft:
        """The pieces that came until now, for whoever passes them on one by one."""
        return self._draft

    def finish(self, complete: bool) -> Decoded:
        """Say what the reply held."""
        decoded = self._draft.decoded
        if complete and decoded.finish_reason and not decoded.terminal:
            if self._strict:
                self._draft.fail(FailureKind.TRUNCATED_STREAM, "no [DONE] came; strict_stream = False accepts that")
            else:
                decoded.terminal = decoded.lenient_end = True
        if self._usage is not None:
            decoded.usage = from_openai_chat(self._usage)
        return self._draft.finish(complete)

    def _late(self, data: bytes) -> None:
        try:
            usage = dict_of(decode_json(data)).get("usage")
        except ValueError:
            return
        if isinstance(usage, dict):
            self._usage = usage

    def _read_choice(self, choice: dict[str, Any]) -> int:
        """Keep what one choice adds; the kinds of content it held."""
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = dict_of(choice.get("message"))
        index = choice.get("index", 0)
        if self._choice is None:
            self._choice = index
        elif index != self._choice:
            return read_message(delta, Draft())
        reason = choice.get("finish_reason")
        if reason:
            self._draft.decoded.finish_reason = text_of(reason)
            usage = choice.get("usage")
            if isinstance(usage, dict):
                self._usage = usage
            if reason == "error":
                self._draft.fail(FailureKind.STREAM_ERROR, "finish reason error")
        return read_message(delta, self._draft)


def _is_plain(chunk: dict[str, Any], choices: list[Any]) -> bool:
    """Whether an event holds a piece of text and nothing else that matters."""
    if len(choices) != 1 or chunk.get("usage") is not None or not isinstance(choices[0], dict):
        return False
    delta = choices[0].get("delta")
    if not isinstance(delta, dict) or choices[0].get("finish_reason") is not None:
        return False
    content = delta.get("content")
    return (
        isinstance(content, str)
        and content != ""
        and all(value is None for key, value in delta.items() if key not in {"content", "role"})
    )


REASONING = 1
OUTPUT = 2


def read_message(delta: dict[str, Any], draft: Draft, *, whole: bool = False) -> int:
    """Keep what a delta, or a whole message, holds; the kinds of content as bits, 0 for none."""
    kinds = 0
    content = delta.get("content")
    if content:
        if isinstance(content, str):
            draft.text.append(content)
            kinds = OUTPUT
        else:
            kinds = _read_parts(content if isinstance(content, list) else [content], draft)
    if len(delta) <= 1 and "content" in delta:
        return kinds
    thought = _reasoning(delta)
    if thought:
        draft.reasoning.append(thought)
        kinds |= REASONING
    refusal = delta.get("refusal")
    if isinstance(refusal, str) and refusal:
        draft.refusal.append(refusal)
        kinds |= OUTPUT
    for fragment in dicts_of(delta.get("tool_calls")):
        function = dict_of(fragment.get("function"))
        slot = (
            draft.tools.setdefault(len(draft.tools), ToolDraft()) if whole else _slot(draft.tools, fragment, function)
        )
        if slot.add(fragment.get("id"), function.get("name"), function.get("arguments")):
            kinds |= OUTPUT
    legacy = delta.get("function_call")
    if isinstance(legacy, dict):
        slot = draft.tools.setdefault("function_call", ToolDraft())
        if slot.add(None, legacy.get("name"), legacy.get("arguments")):
            kinds |= OUTPUT
    audio = delta.get("audio")
    if isinstance(audio, dict) and (audio.get("transcript") or audio.get("data")):
        draft.text.append(text_of(audio.get("transcript")))
        kinds |= OUTPUT
    return kinds


def _read_parts(parts: list[Any], draft: Draft) -> int:
    """Content as a list: texts, and Mistral's `thinking` parts that hold texts of their own."""
    kinds = 0
    for part in dicts_of(parts):
        thinking = part.get("thinking")
        thought = thinking if isinstance(thinking, str) else "".join(text_of(t.get("text")) for t in dicts_of(thinking))
        for channel, text, kind in (
            (draft.text, part.get("text"), OUTPUT),
            (draft.refusal, part.get("refusal"), OUTPUT),
            (draft.reasoning, thought, REASONING),
        ):
            if isinstance(text, str) and text:
                channel.append(text)
                kinds |= kind
    return kinds


def _reasoning(delta: dict[str, Any]) -> str:
    """The reasoning in a delta, under the first of its names that holds any: servers repeat it under several."""
    for key in ("reasoning_content", "reasoning"):
        value = delta.get(key)
        if isinstance(value, dict):
            value = value.get("content") or value.get("text")
        if isinstance(value, str) and value:
            return value
    details = delta.get("reasoning_details")
    return "".join(text_of(item.get("text") or item.get("summary")) for item in dicts_of(details)) if details else ""


def _slot(tools: dict[Any, ToolDraft], fragment: dict[str, Any], function: dict[str, Any]) -> ToolDraft:
    """The tool call a fragment of a stream belongs to: by index, else by id, else the last one."""
    index, tool_id, named = fragment.get("index"), text_of(fragment.get("id")), bool(function.get("name"))
    if isinstance(index, int):
        slot = tools.setdefault(index, ToolDraft())
        if not (named and slot.id and tool_id and tool_id != slot.id):
            return slot
        return tools.setdefault((index, tool_id), ToolDraft())  # a new call under a used index
    if tool_id:
        return tools.setdefault(tool_id, ToolDraft())
    if tools and not named:
        return next(reversed(tools.values()))
    return tools.setdefault(("new", len(tools)), ToolDraft())


def read_body(body: bytes) -> Decoded:
    """Read a whole chat completion."""
    reply, decoded = whole_reply(body, "choices")
    decoded.id = text_of(reply.get("id"))
    decoded.model = text_of(reply.get("model"))
    usage = reply.get("usage")
    if isinstance(usage, dict):
        decoded.usage = from_openai_chat(usage)
    if decoded.failure is not None:
        return decoded
    draft = Draft()
    draft.decoded = decoded
    for choice in dicts_of(reply["choices"])[:1]:
        decoded.finish_reason = text_of(choice.get("finish_reason"))
        draft.generated = read_message(dict_of(choice.get("message")), draft, whole=True) != 0
    return draft.finish(complete=True)
