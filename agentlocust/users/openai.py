"""OpenAIUser: Chat Completions by default, the Responses API on request, embeddings, the official SDK."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from agentlocust import dialects
from agentlocust.dialects.base import Dialect
from agentlocust.users.base import AgentUser
from agentlocust.users.reply import Check, Reply
from agentlocust.users.sdk import measured, probe_machine, transport_for

if TYPE_CHECKING:
    import openai


class OpenAIUser(AgentUser):
    """Talks to OpenAI or any compatible server (`--host`, a path prefix allowed).

    `api` is "chat" (Chat Completions) or "responses". The key is OPENAI_API_KEY's.
    """

    abstract = True
    model = "gpt-4o-mini"
    embedding_model = "text-embedding-3-small"
    api: Literal["chat", "responses"] = "chat"
    key_variable: ClassVar[str] = "OPENAI_API_KEY"

    @property
    def dialect(self) -> Dialect:
        """The API that `chat` speaks."""
        return dialects.by_name(f"openai-{self.api}")

    @classmethod
    def import_sdk(cls) -> None:
        """Import the SDK."""
        _measured_client()

    @property
    def client(self) -> openai.OpenAI:
        """The official SDK on our transport: everything it does is measured the same way."""
        if self._client is None:
            client, httpx_client = _measured_client(), transport_for(self)
            base = str(self.target)
            self._client = client(
                api_key=self._key.value or "none",
                base_url=base if base.endswith("/v1") else f"{base}/v1",
                max_retries=self.max_retries,
                http_client=httpx_client,
            )
            probe_machine(self._client)
        return cast("openai.OpenAI", self._client)

    def embed(
        self, texts: str | Sequence[str], *, name: str = "", model: str = "", check: Check | None = None, **params: Any
    ) -> Reply:
        """Embed one text or several; the vectors are in `reply.vectors`."""
        dialect = dialects.by_name("openai-embeddings")
        inputs = [texts] if isinstance(texts, str) else list(texts)
        body = dialect.build(model=model or self.embedding_model, messages=inputs, stream=False, params=params)
        return self._ask(dialect, body, name=name, streamed=False, check=check, labels=None)[0]


@functools.cache
def _measured_client() -> Any:
    # Imported at first use: the SDK costs 27 MB, and only those who ask for it should pay.
    import openai

    return measured(openai.OpenAI)
