"""Reads stream events that differ from an earlier one in nothing but their text, without decoding JSON.

A model's reply is hundreds of events alike. Once one has been decoded, what stands before and after
its text is compared instead: a tenth of the work, and never a guess, since every other byte is equal.
"""

from __future__ import annotations

from typing import Any

from agentlocust.dialects.base import decode_json

_PROBE = "a text of no model"
_TRIES = 3  # servers that pad or number their events have no template


class TextTemplate:
    """What surrounds the text in one stream's events, once `learn` has found it."""

    __slots__ = ("_least", "_prefix", "_suffix", "_suffix_size", "_tries")

    def __init__(self) -> None:
        self._prefix = b""
        self._suffix = b""
        self._suffix_size = 0
        self._least = 0
        self._tries = _TRIES

    def learn(self, data: bytes, value: dict[str, Any], place: tuple[str | int, ...]) -> None:
        """Take an event and its decoded `value`, whose text is at `place`, as the pattern; changes `value`."""
        if not self._tries:
            return
        self._tries -= 1
        holder: Any = value
        for key in place[:-1]:
            holder = holder[key]
        raw = holder[place[-1]].encode()
        at = data.find(b'"' + raw + b'"') + 1
        if not at:
            return
        prefix, suffix = data[:at], data[at + len(raw) :]
        holder[place[-1]] = _PROBE
        try:
            found = decode_json(prefix + _PROBE.encode() + suffix) == value
        except ValueError:
            return
        if found:  # the text stood there, and there alone
            self._prefix, self._suffix = prefix, suffix
            self._suffix_size = len(suffix)
            self._least = len(prefix) + len(suffix)

    def text(self, data: bytes) -> str:
        """The event's text, or "" for an event that has to be decoded."""
        if len(data) <= self._least or not self._least:
            return ""
        if not (data.startswith(self._prefix) and data.endswith(self._suffix)):
            return ""
        try:
            text = data[len(self._prefix) : -self._suffix_size].decode()
        except UnicodeDecodeError:
            return ""
        # Escapes, quotes and control characters are JSON's business.
        return text if text.isprintable() and '"' not in text and "\\" not in text else ""
