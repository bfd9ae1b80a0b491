"""The grammar of a check: `AGGREGATE(METRIC){label=value;…} OP NUMBER[UNIT]`, or a ratio or rate alone.

No commas: Locust's form splits lists at them. Everything is checked against the metric catalogue
here, before any load starts, and every error points at the words that are wrong.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agentlocust import units
from agentlocust.config import did_you_mean
from agentlocust.errors import ConfigError
from agentlocust.metrics import CATALOGUE, Kind, Metric, Shape, Unit, aggregates_of, own_metric, stands_alone
from agentlocust.sizes import parse_size, show_size

MAX_LENGTH = 500

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_OPERATOR = re.compile(r"<=|>=|==|!=|<|>")
_OPERATOR_LIKE = re.compile(r"[<>=!≤≥]+")
_PERCENTILE = re.compile(r"p([0-9]{1,3}(?:\.[0-9]{1,6})?)\Z")
_LABEL = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.\-]*)\s*=\s*([^;{}]*?)\s*(?:;|\Z)")


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what is observed, how it is compared, and when it may end the test.

    `limit` is in the metric's base unit (seconds, dollars, a ratio), per second when `per_second`.
    `aggregate` is "" for a metric that stands alone; `percentile` is set for `pN`.
    """

    text: str
    metric: Metric
    aggregate: str
    op: str
    limit: float
    percentile: float | None = None
    filters: tuple[tuple[str, str], ...] = ()
    name: str = ""
    abort: bool = False
    after: float = 0.0
    min_samples: int = 1
    default: bool = False

    @property
    def unit(self) -> Unit:
        """What the observed number is in: `count` counts whatever the metric measures, `growth` is a share."""
        return _unit(self.metric, self.aggregate)

    @property
    def per_second(self) -> bool:
        """True for a rate and for what is one by itself."""
        return _per_second(self.metric, self.aggregate)

    def holds(self, observed: float) -> bool:
        """True when `observed` keeps to the limit; never for nan."""
        return observed == observed and OPERATORS[self.op](observed, self.limit)  # nan is not itself

    def shown(self, number: float) -> str:
        """A number in this check's unit, as people read it."""
        if self.unit is Unit.RATIO:
            return units.show_percent(number)
        if self.unit is Unit.SECONDS:
            text = units.show_seconds(number)
        elif self.unit is Unit.USD:
            text = units.show_usd(number)
        elif self.unit is Unit.BYTES:
            text = show_size(number)
        else:
            text = units.show_count(number)
        return f"{text}/s" if self.per_second else text


def parse_check(
    text: str, *, own_metrics: Iterable[str] = (), has_goodput: bool = True, where: str = "", default: bool = False
) -> Check:
    """Read one check. Raises ConfigError that points at the wrong words.

    `own_metrics` are the names that the locustfile declares; without a goodput SLO in it
    (`has_goodput`), a check on goodput is refused.
    """
    if not isinstance(text, str):  # from a locustfile, where anything can stand
        raise ConfigError(f"a check is text, not {type(text).__name__}", where=where, hint="write 'p95(ttft) < 800ms'")
    if len(text) > MAX_LENGTH:
        raise ConfigError(f"a check longer than {MAX_LENGTH} characters", where=where)
    folded = " ".join(text.split())
    return _Parser(folded, where, list(own_metrics), has_goodput).check(default=default)


class _Parser:
    """Reads one check from left to right."""

    def __init__(self, text: str, where: str, own_metrics: list[str], has_goodput: bool) -> None:
        self._text = text
        self._where = where
        self._own = own_metrics
        self._has_goodput = has_goodput
        self._at = 0

    def check(self, *, default: bool) -> Check:
        start = self._at
        word = self._word("an aggregate or a metric")
        percentile = None
        if self._take("("):
            aggregate, word_at = word, self._skip()
            metric = self._metric(self._word("a metric"), word_at)
            if not self._take(")"):
                raise self._error("expected ')'", self._at)
            percentile = self._aggregate(aggregate, start, metric)
        else:
            aggregate, metric = "", self._metric(word, start)
            if not stands_alone(metric):
                first = aggregates_of(metric)[0].replace("N", "95")
                raise self._error(
                    f"{metric.name} needs an aggregate: {_listed(metric)}", start, word, f"write {first}({metric.name})"
                )
        filters = self._filters(metric, aggregate)
        op = self._operator()
        limit = self._limit(metric, aggregate)
        return Check(self._text, metric, aggregate, op, limit, percentile, filters, default=default)

    def _metric(self, word: str, at: int) -> Metric:
        if word in CATALOGUE:
            if word == "goodput" and not self._has_goodput:
                hint = "add goodput = {'ttft': '500ms'} to the User"
                raise self._error("goodput has no SLO to count by", at, word, hint)
            return CATALOGUE[word]
        if word in self._own:
            return own_metric(word)
        hint = did_you_mean(word, [*CATALOGUE, *self._own])
        hint = hint or f"a metric of your own is declared on the User: metrics = [{word!r}]"
        raise self._error(f"unknown metric {word!r}", at, word, hint)

    def _aggregate(self, word: str, at: int, metric: Metric) -> float | None:
        """The percentile that `word` stands for, if any, once it is known to suit the metric."""
        known = aggregates_of(metric)
        if stands_alone(metric) and word not in known:
            raise self._error(f"{metric.name} takes no aggregate", at, word, f"write {metric.name} alone")
        found = _PERCENTILE.match(word)
        if found is not None and "pN" in known:
            percentile = float(found[1])
            if not 0 < percentile <= 100:
                raise self._error(f"{word!r} is not a percentile", at, word, "from p0.1 to p100")
            return percentile
        if word in known and word != "pN":
            return None
        hint = did_you_mean(word, [name.replace("N", "95") for name in known])
        raise self._error(f"{metric.name} has no aggregate {word!r}; it has {_listed(metric)}", at, word, hint)

    def _filters(self, metric: Metric, aggregate: str) -> tuple[tuple[str, str], ...]:
        start = self._skip()
        if not self._take("{"):
            return ()
        end = self._text.find("}", self._at)
        if end < 0:
            raise self._error("no closing '}'", start)
        inner, filters, at = self._text[self._at : end], {}, 0
        while inner[at:].strip():
            found = _LABEL.match(inner, at)
            here = self._at + at
            if found is None or not found[2]:
                raise self._error(
                    "expected label=value", here, inner[at:].split(";")[0], "write {name=refund;tenant=a}"
                )
            key = found[1]
            if key in filters:
                raise self._error(f"label {key!r} twice", here, key)
            if metric.kind is None or metric.shape is Shape.FINDING:
                raise self._error(f"{metric.name} is counted for the whole test and has no labels", start)
            allowed = _labels_of(metric, aggregate)
            if allowed and key not in allowed:
                shown = f"{aggregate}({metric.name})" if aggregate == "growth" else metric.name
                raise self._error(f"{shown} has no {key}", here, key, f"filter by {' or '.join(allowed)}")
            if key == "model" and metric.kind is not Kind.LLM:
                raise self._error(
                    f"{metric.name} has no model", here, key, "filter by name, phase or a label of your own"
                )
            filters[key] = found[2]
            at = found.end()
        self._at = end + 1
        return tuple(filters.items())

    def _operator(self) -> str:
        start = self._skip()
        found = _OPERATOR_LIKE.match(self._text, start)
        if found is None:
            raise self._error("expected one of < <= > >= == !=", start)
        if found[0] not in OPERATORS:
            hint = {"=": "write ==", "=<": "write <=", "=>": "write >=", "≤": "write <=", "≥": "write >="}
            raise self._error(
                f"unknown operator {found[0]!r}", start, found[0], hint.get(found[0], "one of < <= > >= == !=")
            )
        self._at = found.end()
        return found[0]

    def _limit(self, metric: Metric, aggregate: str) -> float:
        start = self._skip()
        raw = self._text[start:]
        if not raw:
            raise self._error("expected a number", start)
        try:
            return _number(raw, _unit(metric, aggregate), per_second=_per_second(metric, aggregate))
        except ConfigError as error:
            raise self._error(error.what, start, raw, error.hint) from error

    # -- reading -----------------------------------------------------------------------------

    def _skip(self) -> int:
        while self._at < len(self._text) and self._text[self._at] == " ":
            self._at += 1
        return self._at

    def _take(self, character: str) -> bool:
        if self._text[self._skip() : self._at + 1] != character:
            return False
        self._at += 1
        return True

    def _word(self, what: str) -> str:
        found = _WORD.match(self._text, self._skip())
        if found is None:
            raise self._error(f"expected {what}", self._at, hint="such as 'p95(ttft) < 800ms' or 'error_rate < 1%'")
        self._at = found.end()
        return found[0]

    def _error(self, what: str, at: int, wrong: str = "", hint: str = "") -> ConfigError:
        caret = " " * at + "^" * max(len(wrong), 1)
        return ConfigError(f"{what}\n  {self._text}\n  {caret}", where=self._where, hint=hint)


def _number(raw: str, unit: Unit, *, per_second: bool) -> float:
    """The limit in base units. Raises ConfigError when it is not in the unit that is asked for."""
    if unit is Unit.RATIO:
        return units.parse_percent(raw)
    if not per_second:
        if unit is Unit.SECONDS:
            return units.parse_duration(raw)
        if unit is Unit.BYTES:
            return parse_size(raw)
        return units.parse_money(raw) / units.PICOUSD if unit is Unit.USD else units.parse_number(raw)
    amount, slash, per = raw.rpartition("/")
    example = "$2/h" if unit is Unit.USD else "20/s or 100/min"
    if not slash:
        raise ConfigError(f"{raw!r} is not a rate", hint=f"write {example}")
    base = Unit.COUNT if unit is Unit.PER_SECOND else unit
    return _number(amount.strip(), base, per_second=False) * units.parse_rate(f"1/{per.strip()}")


def _unit(metric: Metric, aggregate: str) -> Unit:
    return {"count": Unit.COUNT, "growth": Unit.RATIO}.get(aggregate, metric.unit)


def _per_second(metric: Metric, aggregate: str) -> bool:
    return aggregate == "rate" or (metric.unit is Unit.PER_SECOND and aggregate != "growth")


def _labels_of(metric: Metric, aggregate: str) -> tuple[str, ...]:
    """The only labels that a metric is kept by; none where users' own count as well."""
    if metric.kind is Kind.MONITOR:
        return ("subject", "phase")
    if metric.kind is Kind.ARRIVAL:
        return ("name", "phase")
    return ("phase",) if aggregate == "growth" else ()


def _listed(metric: Metric) -> str:
    return ", ".join(aggregates_of(metric))
