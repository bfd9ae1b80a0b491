"""A model server's own figures, from its Prometheus `/metrics`: how many run, how many wait, how full its cache is.

The names are those of vLLM ("Production Metrics"), SGLang ("Production Metrics", `--enable-metrics`) and TGI
("Metrics" of text-generation-inference). Scraped in the sampler's child process, without any key,
without following redirects, by threads of its own: a server that hangs delays no other reading.
"""

from __future__ import annotations

import http.client
import importlib.util
import math
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agentlocust.errors import ConfigError
from agentlocust.monitor.target import Event, Figures
from agentlocust.wire.target import Origin, Target

WHERE = "--scrape"
TIMEOUT_S = 2.0
MAX_BYTES = 4_000_000
MAX_METRICS = 20
LEAST_INTERVAL_S = 1.0  # servers collect their figures about as often
_LARGEST = 1e15

KNOWN = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "queued",
    "vllm:kv_cache_usage_perc": "kv_cache",
    "vllm:gpu_cache_usage_perc": "kv_cache",  # its deprecated name
    "sglang:num_running_reqs": "running",
    "sglang:num_queue_reqs": "queued",
    "sglang:token_usage": "kv_cache",
    "tgi_batch_current_size": "running",
    "tgi_queue_size": "queued",
}
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,199}")
_RANKS = {"tp_rank", "pp_rank", "moe_ep_rank"}  # parts of one model, each with the same requests


@dataclass(frozen=True, slots=True)
class Scrape:
    """One page to read; `metrics` are asked for beside the known ones, by their exact names."""

    scheme: str
    host: str
    port: int
    path: str
    metrics: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its address, as it is shown."""
        return f"{Origin(self.scheme, self.host, self.port)}{self.path}"


def parse_scrape(text: str, host: str = "") -> Scrape:
    """Read `URL[#metric;metric]`; without a path it is `/metrics`.

    Only this machine and the machine of `--host` are asked: `host` is that URL ("" for none). Raises
    ConfigError, also when prometheus-client is not installed.
    """
    url, _, names = text.strip().partition("#")
    target = Target.parse(url, where=WHERE)
    origin = target.origin
    if not origin.is_loopback and (not host or Target.parse(host).origin.host != origin.host):
        raise ConfigError(
            f"{origin} is not where the load goes", where=WHERE, hint="only this machine and --host are asked"
        )
    metrics = tuple(dict.fromkeys(name.strip() for name in names.split(";") if name.strip()))
    for name in metrics:
        if _NAME.fullmatch(name) is None:
            raise ConfigError(f"{name[:40]!r} is not the name of a metric", where=WHERE, hint="write URL#metric;metric")
        if name.endswith("_bucket"):
            raise ConfigError(f"{name} is a histogram's buckets", where=WHERE, hint="ask for its _sum and _count")
    if len(metrics) > MAX_METRICS:
        raise ConfigError(f"{len(metrics)} metrics of {origin}", where=WHERE, hint=f"at most {MAX_METRICS}")
    if importlib.util.find_spec("prometheus_client") is None:
        raise ConfigError(
            "prometheus-client is not installed", where=WHERE, hint="pip install 'agentlocust[prometheus]'"
        )
    return Scrape(origin.scheme, origin.host, origin.port, target.prefix or "/metrics", metrics)


def read_page(page: str, metrics: Iterable[str] = ()) -> dict[str, tuple[float, bool]]:
    """The known figures, and `metrics` by name: (value, is it a counter). Raises ValueError for a broken page.

    Series of one name are added up, ranks of one model counted once; of caches the fullest counts.
    """
    from prometheus_client.parser import text_string_to_metric_families

    asked = {**KNOWN, **{name: name for name in metrics}}
    # Only the lines that matter: the parser takes 15 µs for each, and a server has thousands.
    starts = tuple(asked) + tuple(f"# TYPE {name.removesuffix(end)}" for name in asked for end in ("", *_ENDS))
    lines = [line for line in page.split("\n") if line.startswith(starts)]
    groups: dict[str, dict[Any, float]] = {}
    counters = set()
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            value = float(sample.value)
            # The parser gives a counter the name `x_total`, however the server wrote it.
            name = sample.name if sample.name in asked else sample.name.removesuffix("_total")
            ours = asked.get(name)
            if ours is None or not math.isfinite(value) or abs(value) > _LARGEST:
                continue
            labels = tuple(sorted((key, of) for key, of in sample.labels.items() if key not in _RANKS))
            group = groups.setdefault(ours, {})
            group[name, labels] = max(value, group.get((name, labels), value))
            if ours not in KNOWN.values() and family.type in ("counter", "histogram", "summary"):
                counters.add(ours)
    return {
        ours: (max(group.values()) if ours == "kv_cache" else math.fsum(group.values()), ours in counters)
        for ours, group in groups.items()
    }


_ENDS = ("_total", "_sum", "_count")


class Scraper:
    """Reads one page each `interval` seconds in a thread of its own, until the process ends."""

    def __init__(self, scrape: Scrape, interval: float) -> None:
        self.scrape = scrape
        self._interval = max(interval, LEAST_INTERVAL_S)
        self._lock = threading.Lock()
        self._figures: Figures = {}
        self._events: list[Event] = []
        self._counters: dict[str, tuple[float, float]] = {}
        self._told: set[str] = set()
        self._failing = False

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read_on, daemon=True).start()

    def take(self) -> tuple[Figures, list[Event]]:
        """What was read since the last take: {} when nothing new is there."""
        with self._lock:
            figures, self._figures = self._figures, {}
            events, self._events = self._events, []
        return figures, events

    def read(self) -> None:
        """Read the page once. Never raises: the first failure in a row is an event, and so is its end."""
        now = time.monotonic()
        try:
            found = read_page(fetch(self.scrape), self.scrape.metrics)
            problem = "" if found else "none of the metrics asked for is on the page"
        except (OSError, ValueError, http.client.HTTPException) as error:
            found, problem = {}, f"{type(error).__name__}: {error}"[:200]
        figures: Figures = dict.fromkeys(self._told)  # what was told before and no longer is, is unknown
        figures |= {name: self._figure(name, value, counts, now) for name, (value, counts) in found.items()}
        self._told = set(found)
        with self._lock:
            self._figures = figures
            if bool(problem) != self._failing:
                what = "scrape failed" if problem else "scrape works again"
                self._events.append({"t": now, "what": what, "label": self.scrape.label, "pid": 0, "detail": problem})
        self._failing = bool(problem)

    def _figure(self, name: str, value: float, counts: bool, now: float) -> int | None:
        """Our integer: a number of requests, or thousandths; of a counter, thousandths a second."""
        if name in ("running", "queued"):
            return round(value)
        if not counts:
            return round(value * 1000)
        before = self._counters.get(name)
        self._counters[name] = now, value
        # A counter that went back was reset with its server: how far it had come is not known.
        if before is None or value < before[1] or now <= before[0]:
            return None
        return round((value - before[1]) / (now - before[0]) * 1000)

    def _read_on(self) -> None:
        following = time.monotonic()
        while True:
            self.read()
            following = max(following + self._interval, time.monotonic())
            time.sleep(max(following - time.monotonic(), 0))  # a thread of its own: it delays nobody


def fetch(scrape: Scrape) -> str:
    """The page's text. Raises OSError, ValueError or HTTPException, after 2 s of silence at the latest."""
    secure = scrape.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(scrape.host, scrape.port, timeout=TIMEOUT_S)
    until = time.monotonic() + TIMEOUT_S
    try:
        connection.request("GET", scrape.path, headers={"Accept": "text/plain", "Connection": "close"})
        response = connection.getresponse()
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        parts, size = [], 0
        while part := response.read1(65536):
            parts.append(part)
            size += len(part)
            if size > MAX_BYTES:
                raise ValueError(f"a page of more than {MAX_BYTES} bytes")
            if time.monotonic() > until:
                raise ValueError(f"not all there after {TIMEOUT_S:g} s")
        return b"".join(parts).decode("utf-8", "replace")
    finally:
        connection.close()
