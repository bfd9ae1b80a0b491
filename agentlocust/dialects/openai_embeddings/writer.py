"""What OpenAI's Embeddings API sends. Format: https://platform.openai.com/docs/api-reference/embeddings."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence

from agentlocust.usage import Usage


def body(model: str, vectors: Sequence[Sequence[float]], usage: Usage | None, *, base64_floats: bool) -> bytes:
    """The reply: one vector an input, as JSON numbers or as base64 of little-endian 32-bit floats."""
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if base64_floats else list(vector)}
        for index, vector in enumerate(vectors)
    ]
    found: dict[str, object] = {"object": "list", "data": data, "model": model}
    if usage is not None:
        found["usage"] = {"prompt_tokens": usage.input, "total_tokens": usage.input}
    return json.dumps(found).encode("utf-8", "replace")


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
