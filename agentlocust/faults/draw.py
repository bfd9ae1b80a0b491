"""Chance without a state: what is drawn depends on what is asked, never on what was asked before."""

from __future__ import annotations

from hashlib import blake2b

from agentlocust.faults.injection import Asked


def draw(seed: int, rule: str, asked: Asked, what: str) -> float:
    """A number from 0 up to 1, uniform over calls: the same for the same seed, rule, attempt and `what`."""
    key = f"{seed}/{rule}/{asked.user}/{asked.run}/{asked.call}/{asked.attempt}/{what}"
    digest = blake2b(key.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)
