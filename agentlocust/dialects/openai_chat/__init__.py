"""The dialect of chat completions, OpenAI's and compatible servers'."""

from __future__ import annotations

from agentlocust.dialects.base import bearer_headers
from agentlocust.dialects.failed import read_failure
from agentlocust.dialects.openai_chat import reader, request


class OpenAIChat:
    """`POST /v1/chat/completions`."""

    name = "openai-chat"
    path = "/v1/chat/completions"
    provider = "openai"

    def stream_reader(self, strict: bool = True) -> reader.ChatReader:
        """Give a reader for one streamed reply; see `base.Dialect.stream_reader`."""
        return reader.ChatReader(strict)

    read_body = staticmethod(reader.read_body)
    read_failure = staticmethod(read_failure)
    build = staticmethod(request.build)
    headers = staticmethod(bearer_headers)
    user_message = staticmethod(request.user_message)
    reply_messages = staticmethod(request.reply_messages)
    add_tool_results = staticmethod(request.add_tool_results)


DIALECT = OpenAIChat()
