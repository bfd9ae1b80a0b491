"""Several rewriters of one reply, one behind the other, and which of them found something to change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from agentlocust.faults.injection import End, Injection, Piece, Rewriter


class Change(Rewriter, Protocol):
    """A rewriter that knows whether it has changed anything yet."""

    struck: bool


Link = tuple[str, Callable[[], Change]]  # the fault's name, what makes its rewriter


class Chain:
    """Rewriters in a row. What one delays or ends, those behind it see so."""

    def __init__(self, links: Sequence[Link]) -> None:
        self.end: End | None = None
        self._names = [name for name, _ in links]
        self._changes = [make() for _, make in links]
        self._owed_s = [0.0] * len(links)  # delays of pieces that a rewriter holds back

    @property
    def struck(self) -> frozenset[str]:
        """The faults that have changed something."""
        return frozenset(
            name for name, change in zip(self._names, self._changes, strict=True) if change.struck or change.end
        )

    @property
    def names(self) -> frozenset[str]:
        """All the faults in it."""
        return frozenset(self._names)

    def feed(self, data: bytes) -> list[Piece]:
        """The server sent `data`; what goes on."""
        return self._through(0, [Piece(data)])

    def finish(self) -> list[Piece]:
        """The server's body ended; what goes on last."""
        pieces: list[Piece] = []
        for at in range(len(self._changes)):
            if self.end is End.CUT:
                break
            pieces = self._step(at, pieces)
            pieces += self._last(at)
            self._note(at)
        return pieces

    def _through(self, start: int, pieces: list[Piece]) -> list[Piece]:
        for at in range(start, len(self._changes)):
            pieces = self._step(at, pieces)
            if self._changes[at].end is End.CLEAN and self.end is None:
                self.end = End.CLEAN
                for behind in range(at + 1, len(self._changes)):  # for them the body is whole
                    pieces = self._step(behind, pieces)
                    pieces += self._last(behind)
                    self._note(behind)
                return pieces
            self._note(at)
        return pieces

    def _note(self, at: int) -> None:
        if self._changes[at].end is End.CUT or self.end is None:
            self.end = self._changes[at].end

    def _step(self, at: int, pieces: Iterable[Piece]) -> list[Piece]:
        """Feed pieces to one rewriter; their delays go before what it makes of them."""
        change, made = self._changes[at], list[Piece]()
        for piece in pieces:
            if change.end is not None:
                break
            owed = self._owed_s[at] + piece.after_s
            came = change.feed(piece.data)
            if came and owed:
                came[0] = Piece(came[0].data, came[0].after_s + owed)
                owed = 0.0
            self._owed_s[at] = owed
            made += came
        return made

    def _last(self, at: int) -> list[Piece]:
        """What one rewriter holds back until the body has ended."""
        change, owed = self._changes[at], self._owed_s[at]
        made = change.finish() if change.end is None else []
        if made and owed:
            made[0] = Piece(made[0].data, made[0].after_s + owed)
            self._owed_s[at] = 0.0
        return made


def struck_by(injection: Injection, rewriter: Rewriter | None) -> tuple[str, ...]:
    """The faults of an injection that took hold: of those that change a reply, only those that found what to change."""
    if rewriter is None and injection.rewriter is not None:
        rewriter = injection.rewriter()  # there was no body for it: none of its faults took hold
    if not isinstance(rewriter, Chain):
        return injection.faults
    missed = rewriter.names - rewriter.struck
    return tuple(name for name in injection.faults if name not in missed)
