"""The dialect of Anthropic's messages."""

from __future__ import annotations

from agentlocust.dialects.anthropic import reader, request
from agentlocust.dialects.failed import read_failure


class Anthropic:
    """`POST /v1/messages`."""

    name = "anthropic"
    path = "/v1/messages"
    provider = "anthropic"

    def stream_reader(self, strict: bool = True) -> reader.MessageReader:
        """Give a reader for one streamed reply; see `base.Dialect.stream_reader`."""
        return reader.MessageReader(strict)

    read_body = staticmethod(reader.read_body)
    read_failure = staticmethod(read_failure)
    build = staticmethod(request.build)
    headers = staticmethod(request.headers)
    user_message = staticmethod(request.user_message)
    reply_messages = staticmethod(request.reply_messages)
    add_tool_results = staticmethod(request.add_tool_results)


DIALECT = Anthropic()
