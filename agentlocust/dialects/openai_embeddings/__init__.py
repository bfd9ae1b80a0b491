"""The dialect of embeddings, OpenAI's and compatible servers'."""

from __future__ import annotations

from agentlocust.dialects.base import bearer_headers
from agentlocust.dialects.failed import read_failure
from agentlocust.dialects.openai_embeddings import reader, request


class OpenAIEmbeddings:
    """`POST /v1/embeddings`."""

    name = "openai-embeddings"
    path = "/v1/embeddings"
    provider = "openai"

    def stream_reader(self, strict: bool = True) -> reader.NoStream:
        """Give a reader that refuses: embeddings are not streamed."""
        return reader.NoStream()

    read_body = staticmethod(reader.read_body)
    read_failure = staticmethod(read_failure)
    build = staticmethod(request.build)
    headers = staticmethod(bearer_headers)
    user_message = staticmethod(request.user_message)
    reply_messages = staticmethod(request.reply_messages)
    add_tool_results = staticmethod(request.add_tool_results)


DIALECT = OpenAIEmbeddings()
