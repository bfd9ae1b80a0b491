"""The mock's own books: what it served, exactly, and the times it measured itself.

`requests` = `completed` + `failed` + `aborted` + the visits still open, always. A visit is
- completed when its last bytes were handed to the transport and the client had not gone away; it is
  counted just before they are handed over, so a client that saw the end finds it counted;
- failed when an error was sent: a status, or an error event inside a stream (`event`);
- aborted when its stream had no proper end: the client went away (`client`), or the mock was told to
  break off (`cut`) or to leave out the end (`done=no`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from agentlocust.sketch import Sketch
from agentlocust.usage import Usage

MAX_MARKS = 10_000
_PERCENTILES = (50, 90, 95, 99)


class Visit:
    """One request from its head to its end, which is told by exactly one call of its methods."""

    __slots__ = ("_books", "_epoch", "_mark", "_open", "route")

    def __init__(self, books: Truth, route: str, epoch: int) -> None:
        self.route = route
        self._books = books
        self._epoch = epoch
        self._open = True
        self._mark = ""

    def marked(self, mark: str) -> None:
        """The request's prompt bears this mark: its reply is counted under it too."""
        if self._epoch == self._books.epoch and self._books.mark(mark):
            self._mark = mark

    def _end(self, outcome: str) -> bool:
        """Close the visit; True when it counts, which one from before a reset does not."""
        if not self._open:
            return False
        self._open = False
        books = self._books
        books.now -= 1
        if self._epoch != books.epoch:
            return False
        books.routes[self.route][outcome] += 1
        return True

    def completed(
        self,
        usage: Usage | None = None,
        tool_calls: int = 0,
        duration_ns: int = 0,
        token_times_ns: Sequence[int] = (),
        started_ns: int = 0,
    ) -> None:
        """The whole reply was sent; `token_times_ns` are when its stream's tokens were."""
        if not self._end("completed"):
            return
        books = self._books
        books.completed_usage(usage, tool_calls, self._mark)
        books.duration.add(duration_ns)
        if token_times_ns:
            books.ttft.add(token_times_ns[0] - started_ns)
            books.itl.extend(b - a for a, b in pairwise(token_times_ns))

    def failed(self, why: str) -> None:
        """An error was sent: `why` is its status, or `event` for one inside a stream."""
        if self._end("failed"):
            self._books.failed_by[why] += 1

    def aborted(self, why: str, output_tokens: int = 0) -> None:
        """The reply had no proper end, after `output_tokens` of it were sent."""
        if self._end("aborted"):
            self._books.aborted_by[why] += 1
            self._books.aborted_output += output_tokens

    def waited(self, wait_ns: int) -> None:
        """A slot was got, after so long in the line."""
        books = self._books
        if self._epoch == books.epoch:
            books.waits += 1
            books.wait_sum_ns += wait_ns
            books.wait_max_ns = max(books.wait_max_ns, wait_ns)

    def refused(self, why: str) -> None:
        """It was not let in: `rate` or `queue`. Its end is still to be told."""
        if self._epoch == self._books.epoch:
            self._books.refused_by[why] += 1


class Truth:
    """All that the mock counts since its start or last reset."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.now = 0
        self.queued = 0
        self.epoch = 0
        self.reset()

    def reset(self) -> None:
        """Forget all counts; visits that are open now will not be counted when they end."""
        self.epoch += 1
        self.most = self.now
        self.most_queued = self.queued
        self.waits = self.wait_sum_ns = self.wait_max_ns = 0
        self.refused_by: Counter[str] = Counter(rate=0, queue=0)
        self.routes: dict[str, Counter[str]] = {}
        self.tokens: Counter[str] = Counter(input=0, cache_read=0, cache_write=0, output=0, reasoning=0)
        self.aborted_output = 0
        self.tool_calls = 0
        self.failed_by: Counter[str] = Counter()
        self.aborted_by: Counter[str] = Counter()
        self.marks: Counter[str] = Counter()
        self.marks_dropped = 0
        self.marked: dict[str, Counter[str]] = {}  # completed replies by the mark in their prompts
        self.ttft, self.itl, self.duration = Sketch(), Sketch(), Sketch()

    def visit(self, route: str, mark: str = "") -> Visit:
        """A request has come, to one of the mock's routes."""
        self.routes.setdefault(route, Counter(completed=0, failed=0, aborted=0))["requests"] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        if mark:
            self.mark(mark)
        return Visit(self, route, self.epoch)

    def mark(self, mark: str) -> bool:
        """Count a request that bears a mark; False when there are too many to know this one."""
        if mark not in self.marks and len(self.marks) >= MAX_MARKS:
            self.marks_dropped += 1
            return False
        self.marks[mark] += 1
        return True

    def queue_is(self, length: int) -> None:
        """So many requests wait for a slot now."""
        self.queued = length
        self.most_queued = max(self.most_queued, length)

    def completed_usage(self, usage: Usage | None, tool_calls: int, mark: str = "") -> None:
        """Add the tokens and tool calls of a completed reply, also to those of the mark in its prompt."""
        self.tool_calls += tool_calls
        if mark:
            marked = self.marked.setdefault(mark, Counter(completed=0, input=0, output=0, tool_calls=0))
            told = usage or Usage()
            marked.update(completed=1, input=told.input, output=told.output, tool_calls=tool_calls)
        if usage is not None:
            tokens = self.tokens
            tokens["input"] += usage.input
            tokens["cache_read"] += usage.cache_read
            tokens["cache_write"] += usage.cache_write
            tokens["output"] += usage.output
            tokens["reasoning"] += usage.reasoning

    def report(self) -> dict[str, Any]:
        """The books as a JSON object; times in seconds."""
        totals = {key: sum(route[key] for route in self.routes.values()) for key in _OUTCOMES}
        return {
            "instance": self.instance,
            **totals,
            "failed_by": dict(self.failed_by),
            "aborted_by": dict(self.aborted_by),
            "routes": {name: {key: route[key] for key in _OUTCOMES} for name, route in self.routes.items()},
            "tokens": dict(self.tokens),
            "aborted_tokens": {"output": self.aborted_output},
            "tool_calls": self.tool_calls,
            "concurrent": {"now": self.now, "max": self.most},
            "queue": {"now": self.queued, "max": self.most_queued},
            "waits": {"count": self.waits, "sum_ns": self.wait_sum_ns, "max_ns": self.wait_max_ns},
            "refused": dict(self.refused_by),
            "ttft_s": _stats(self.ttft),
            "itl_s": _stats(self.itl),
            "duration_s": _stats(self.duration),
            "marks": dict(self.marks),
            "marks_dropped": self.marks_dropped,
            "marked": {mark: dict(counts) for mark, counts in self.marked.items()},
        }


_OUTCOMES = ("requests", "completed", "failed", "aborted")


def _stats(sketch: Sketch) -> dict[str, float | int | None]:
    """Count, mean, min, max and percentiles in seconds; all but the count None when empty."""
    if not sketch.count:
        return {"count": 0, "mean": None, "min": None, "max": None, **{f"p{p}": None for p in _PERCENTILES}}
    return {
        "count": sketch.count,
        "mean": sketch.mean / 1e9,
        "min": sketch.min / 1e9,
        "max": sketch.max / 1e9,
        **{f"p{p}": sketch.percentile(p) / 1e9 for p in _PERCENTILES},
    }
