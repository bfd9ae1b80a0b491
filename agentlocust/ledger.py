"""The Ledger adds records into mergeable rows: exact counters and sketches, bounded in memory.

A worker's ledger holds what happened since its last report (`take`); the master's and a single
process's hold the whole test. Merging is associative, so the order of reports is of no matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentlocust.captured import CapturedRuns
from agentlocust.metrics import SCALE, Kind, Unit
from agentlocust.pulse import Pulse
from agentlocust.records import AgentRun, Call, Labels, ToolCall
from agentlocust.rows import Row, add_connection, add_figures, add_reported, count_run, count_within

Key = tuple[str, str, str, str, Labels]  # kind, name, model, phase, labels

MAX_LABEL_VALUES = 100  # values a label may have, or agents be handed to, before the rest share one
OTHER_LABEL = "(other)"
MAX_SAMPLES_PER_KIND = 20
MAX_FAILURE_TEXTS = 1000
MAX_SAMPLE_LENGTH = 400  # characters of a failure's text
MAX_ROWS = 5000  # rows before new names share one
MAX_VALUE = 10**15  # of a user's own metric, or a score
MAX_SECONDS = 1200  # points of the series before two become one

_NS = SCALE[Unit.SECONDS]


class Ledger:
    """All that was measured, by (kind, name, model, phase, labels).

    `seconds` holds the same by second of the test, for its series; `width` seconds make a point.
    """

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.counts: dict[str, int] = {}
        self.samples: dict[tuple[str, str, int, str], int] = {}  # kind, name, status, text -> times
        self.seconds: dict[int, Row] = {}
        self.width = 1
        self.captured = CapturedRuns()
        self.pulse = Pulse()  # only in tests with windows
        self._label_values: dict[str, set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self.rows or self.counts)

    # -- recording ---------------------------------------------------------------------------

    def add_call(self, call: Call, second: int) -> None:
        """Record a call that ended in `second` of the test."""
        row = self._row(Kind.LLM, call.name, call.model, call.phase, call.labels)
        point = self._second(second)
        self._add_tokens(row, point, call)
        row.count("attempts", call.attempts)
        if call.status:
            row.count(f"status:{call.status}")
        self._add_faults(row, call.faults)
        if call.cancelled:
            row.count("cancelled")
            return
        row.count("calls")
        point.count("calls")
        latency_ns = round(call.latency * _NS)
        if call.failure is not None:
            row.count("failed")
            row.count(f"failure:{call.failure.kind}")
            point.count("failed")
            if call.failure.injected:
                row.count("injected_failed")
                row.count(f"injected:{call.failure.kind}")
                point.count("injected_failed")
            row.sketch("failed_latency").add(latency_ns)
            self._sample(str(call.failure.kind), call.name, call.failure.status, call.failure.message)
            return
        if call.connection is not None:
            add_connection(row, call.connection)
        if call.good is not None:
            row.count("judged")
            if call.good:
                row.count("good")
        row.sketch("latency").add(latency_ns)
        point.sketch("latency").add(latency_ns)
        if call.ttft is not None:
            ttft_ns = round(call.ttft * _NS)
            row.sketch("ttft").add(ttft_ns)
            point.sketch("ttft").add(ttft_ns)
        if call.ttfo is not None:
            row.sketch("ttfo").add(round(call.ttfo * _NS))
        if call.gaps_ns:
            row.sketch("itl").extend(call.gaps_ns)
        if call.bundled:
            row.count("bundled")
        if call.tpot is not None:
            tpot_ns = round(call.tpot * _NS)
            row.sketch("tpot").add(tpot_ns)
            point.sketch("tpot").add(tpot_ns)

    def _add_faults(self, row: Row, faults: tuple[str, ...]) -> None:
        if faults:
            row.count("injected")
            for name in faults:
                self.count(f"fault:{name}")

    def _add_tokens(self, row: Row, point: Row, call: Call) -> None:
        usage = call.usage
        row.count("input", usage.input)
        row.count("cache_read", usage.cache_read)
        row.count("cache_write", usage.cache_write)
        row.count("output", usage.output)
        row.count("reasoning", usage.reasoning)
        if usage.estimated:
            row.count("estimated", usage.total)
        point.count("output", usage.output)
        if usage.total and not call.cancelled:
            row.sketch("call_input_tokens").add(usage.input)
            row.sketch("call_output_tokens").add(usage.output)
        if call.cost_picousd is None:
            row.count("unpriced")
        else:
            row.count("cost_picousd", call.cost_picousd)
            point.count("cost_picousd", call.cost_picousd)
            if not call.cancelled:
                row.sketch("call_cost").add(call.cost_picousd)

    def add_tool(self, tool: ToolCall) -> None:
        """Record a tool call."""
        row = self._row(Kind.TOOL, tool.name, "", tool.phase, tool.labels)
        row.count("duplicates", tool.again)
        self._add_faults(row, tool.faults)
        if tool.cancelled:
            row.count("cancelled")
            return
        row.count("calls")
        if tool.error:
            row.count("failed")
            row.count("injected_failed", tool.injected)
            row.sketch("failed_latency").add(round(tool.latency * _NS))
            self._sample("tool", tool.name, 0, tool.error)
        else:
            row.sketch("tool_latency").add(round(tool.latency * _NS))

    def add_run(self, run: AgentRun, second: int) -> None:
        """Record an agent run that ended in `second` of the test."""
        row = self._row(Kind.AGENT, run.name, run.model, run.phase, run.labels)
        point = self._second(second)
        if run.reported:
            add_reported(row, point, run)
        count_run(row, run)
        if run.black_box:  # of any other run the records of what it called have them
            for name in run.faults:
                self.count(f"fault:{name}")
        if run.cancelled or run.abandoned:  # its user left: what it would have come to nobody knows
            return
        if not run.inside:
            point.count("runs")
            point.count("runs_failed", bool(run.error))
        if run.failure is not None:
            row.count(f"failure:{run.failure.kind}")
            row.count(f"injected:{run.failure.kind}", run.injected)
            if run.failure.status:
                row.count(f"status:{run.failure.status}")
        if run.error:
            row.sketch("failed_latency").add(round(run.latency * _NS))
            self._sample("run", run.name, 0, run.error)
        add_figures(row, run)
        self._add_hand_offs(row, run)
        self.captured.add(run)

    def add_proxied_run(
        self,
        name: str,
        model: str,
        phase: str,
        labels: Labels,
        calls: int,
        tokens: int,
        cost_picousd: int | None,
        *,
        struck: bool = False,
        failed: str = "",
    ) -> None:
        """Add what the proxy knows of a run that is recorded already: an agent that is a service did not tell it.

        `struck`: by faults of the test's plan, on its way to a model; `failed`: so that it failed, in that way.
        """
        row = self._row(Kind.AGENT, name, model, phase, labels)
        row.count("injected", struck)
        if failed:
            row.count("injected_failed")
            row.count(f"injected:{failed}")
        row.sketch("run_calls").add(calls)
        row.sketch("run_tokens").add(tokens)
        if cost_picousd is None:
            row.count("unpriced")
        else:
            row.sketch("run_cost").add(cost_picousd)

    def _add_hand_offs(self, row: Row, run: AgentRun) -> None:
        for to in run.hand_offs:
            count_within(row, run, f"hand_off:{self._bounded_value(':hand_off', to)}")
        row.count("hand_offs", len(run.hand_offs))

    def add_judgement(self, call: Call) -> None:
        """Record a call of an LLM judge, apart from the calls of the target."""
        row = self._row(Kind.JUDGE, call.name, call.model, call.phase, call.labels)
        self._add_tokens(row, Row(), call)
        row.count("attempts", call.attempts)
        if call.cancelled:
            row.count("cancelled")
            return
        row.count("calls")
        if call.failure is not None:
            row.count("failed")
            row.count(f"failure:{call.failure.kind}")
            row.sketch("failed_latency").add(round(call.latency * _NS))
            self._sample("judge", call.name, call.failure.status, call.failure.message)
        else:
            row.sketch("judge_latency").add(round(call.latency * _NS))

    def add_start(self, name: str, phase: str, lag_ns: int, second: int, *, late: bool) -> None:
        """Record that a task of User class `name` began, `lag_ns` after it was to; `late`: no user was free for it."""
        self._second(second).count("started")
        row = self._row(Kind.ARRIVAL, name, "", phase, ())
        row.count("started")
        row.count("late", late)
        row.sketch("schedule_lag").add(lag_ns)

    def add_offered(self, name: str, phase: str, n: int) -> None:
        """Record starts that came due, whether or not a user has taken them."""
        self._row(Kind.ARRIVAL, name, "", phase, ()).count("offered", n)

    def add_metric(self, metric: str, value: float, name: str, phase: str, labels: Labels = ()) -> None:
        """Record one value of a user's own metric. Raises ValueError for nan and beyond `MAX_VALUE`."""
        if not abs(value) <= MAX_VALUE:
            raise ValueError(f"metric {metric!r}: {value} is not a number up to {MAX_VALUE:g}")
        row = self._row(Kind.METRIC, name, "", phase, labels)
        row.sketch(metric).add(round(value * SCALE[Unit.NUMBER]))

    def count(self, name: str, n: int = 1) -> None:
        """Add to a counter of the whole test."""
        self.counts[name] = self.counts.get(name, 0) + n

    # -- reading and moving ------------------------------------------------------------------

    def select(self, kind: str) -> Iterator[tuple[Key, Row]]:
        """The rows of one kind."""
        return ((key, row) for key, row in self.rows.items() if key[0] == kind)

    def take(self) -> dict[str, Any]:
        """All since the last take, as ints and strings; the ledger is empty afterwards."""
        delta = {
            "rows": [[*key[:4], [list(pair) for pair in key[4]], row.encode()] for key, row in self.rows.items()],
            "counts": dict(self.counts),
            "samples": [[*sample, times] for sample, times in self.samples.items()],
            "seconds": [[second * self.width, row.encode()] for second, row in self.seconds.items()],
            "captured": self.captured.take(),
        }
        if self.pulse:
            delta["pulse"] = self.pulse.take()
        self._forget()
        return delta

    def merge(self, delta: dict[str, Any]) -> None:
        """Add what another ledger's `take` returned."""
        for kind, name, model, phase, labels, row in delta["rows"]:
            pairs = tuple((key, value) for key, value in labels)
            self._row(kind, name, model, phase, pairs).merge(Row.decode(row))
        for name, n in delta["counts"].items():
            self.count(name, n)
        for kind, name, status, text, times in delta["samples"]:
            self._sample(kind, name, status, text, times)
        for second, row in delta["seconds"]:
            self._second(second).merge(Row.decode(row))
        self.captured.merge(delta["captured"])
        self.pulse.merge(delta.get("pulse", []))

    def clear(self) -> None:
        """Forget everything."""
        self._forget()
        self.captured.clear()
        self.pulse.clear()
        self._label_values = {}

    def _forget(self) -> None:
        self.rows = {}
        self.counts = {}
        self.samples = {}
        self.seconds = {}
        self.width = 1

    def own_row(self, kind: str, name: str) -> Row:
        """The row of something that is no call's nor run's, made on first use."""
        return self._row(kind, name, "", "", ())

    # -- bounds ------------------------------------------------------------------------------

    def _row(self, kind: str, name: str, model: str, phase: str, labels: Labels) -> Row:
        key = (kind, name, model, phase, self._bounded(labels) if labels else labels)
        row = self.rows.get(key)
        if row is None:
            if len(self.rows) >= MAX_ROWS:
                key = (kind, OTHER_LABEL, OTHER_LABEL if model else "", phase, ())
            row = self.rows.setdefault(key, Row())
        return row

    def _bounded(self, labels: Labels) -> Labels:
        return tuple(sorted((key, self._bounded_value(key, value)) for key, value in labels))

    def _bounded_value(self, key: str, value: str) -> str:
        values = self._label_values.setdefault(key, set())
        if value not in values:
            if len(values) >= MAX_LABEL_VALUES and value != OTHER_LABEL:
                return OTHER_LABEL
            values.add(value)
        return value

    def _sample(self, kind: str, name: str, status: int, text: str, times: int = 1) -> None:
        sample = (kind, name, status, text[:MAX_SAMPLE_LENGTH])
        if sample not in self.samples:
            if len(self.samples) >= MAX_FAILURE_TEXTS:
                return
            if sum(1 for known in self.samples if known[0] == kind) >= MAX_SAMPLES_PER_KIND:
                return
        self.samples[sample] = self.samples.get(sample, 0) + times

    def _second(self, second: int) -> Row:
        point = self.seconds.get(second // self.width)
        if point is None:
            # No more halving than it takes, so that the order of reports is of no matter.
            while len(self.seconds) >= MAX_SECONDS and second // self.width not in self.seconds:
                self._halve()
            point = self.seconds.setdefault(second // self.width, Row())
        return point

    def _halve(self) -> None:
        halved: dict[int, Row] = {}
        for index, row in self.seconds.items():
            halved.setdefault(index // 2, Row()).merge(row)
        self.seconds = halved
        self.width *= 2
