"""AnthropicUser: the Messages API and the official SDK."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar, cast

from agentlocust import dialects
from agentlocust.dialects.base import Dialect
from agentlocust.users.base import AgentUser
from agentlocust.users.sdk import measured, probe_machine, transport_for

if TYPE_CHECKING:
    import anthropic


class AnthropicUser(AgentUser):
    """Talks to Anthropic or any server that speaks its Messages API. The key is ANTHROPIC_API_KEY's."""

    abstract = True
    model = "claude-haiku-4-5"
    max_tokens = 1024
    key_variable: ClassVar[str] = "ANTHROPIC_API_KEY"

    @property
    def dialect(self) -> Dialect:
        """The API that `chat` speaks."""
        return dialects.by_name("anthropic")

    @classmethod
    def import_sdk(cls) -> None:
        """Import the SDK."""
        _measured_client()

    @property
    def client(self) -> anthropic.Anthropic:
        """The official SDK on our transport: everything it does is measured the same way."""
        if self._client is None:
            client, httpx_client = _measured_client(), transport_for(self)
            base = str(self.target)
            self._client = client(
                api_key=self._key.value or "none",
                base_url=base.removesuffix("/v1"),
                max_retries=self.max_retries,
                http_client=httpx_client,
            )
            probe_machine(self._client)
        return cast("anthropic.Anthropic", self._client)


@functools.cache
def _measured_client() -> Any:
    # Imported at first use: the SDK costs 27 MB, and only those who ask for it should pay.
    import anthropic

    return measured(anthropic.Anthropic)
