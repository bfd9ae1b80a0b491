"""The dialect of OpenAI's Responses API."""

from __future__ import annotations

from agentlocust.dialects.base import bearer_headers
from agentlocust.dialects.failed import read_failure
from agentlocust.dialects.openai_responses import reader, request


class OpenAIResponses:
    """`POST /v1/responses`."""

    name = "openai-responses"
    path = "/v1/responses"
    provider = "openai"

    def stream_reader(self, strict: bool = True) -> reader.ResponseReader:
        """Give a reader for one streamed reply; lenient or not, it wants the last event."""
        return reader.ResponseReader()

    read_body = staticmethod(reader.read_body)
    read_failure = staticmethod(read_failure)
    build = staticmethod(request.build)
    headers = staticmethod(bearer_headers)
    user_message = staticmethod(request.user_message)
    reply_messages = staticmethod(request.reply_messages)
    add_tool_results = staticmethod(request.add_tool_results)


DIALECT = OpenAIResponses()
