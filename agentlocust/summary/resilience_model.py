"""The model of what faults did to a test, window by window."""

from __future__ import annotations

from pydantic import Field

from agentlocust.summary.parts import Count, Part, Stats, Usd


class Span(Part):
    """The calls that lie before a window, touch it, or lie after it until the next. `rate` is of calls that ended."""

    seconds: float
    calls: Count = 0
    failed: Count = 0
    cancelled: Count = 0
    availability: float | None = None
    error_rate: float | None = None
    rate: float | None = None
    latency: Stats | None = None
    failed_latency: Stats | None = None
    ttft: Stats | None = None
    failures: dict[str, int] = {}


class Retries(Part):
    """How failed tries were followed by others. `amplification` is tries per intended call.

    `behaviour` names what the waits look like; `wait_p50_s` by their number within a call. `growth` is
    from one wait to the next; `told` waits had a Retry-After, of which `honoured` were long enough.
    """

    behaviour: str
    waits: Count = 0
    intended: Count = 0
    attempts: Count = 0
    amplification: float | None = None
    wait_s: float | None = None
    wait_p50_s: list[float] = []
    growth: float | None = None
    jittered: bool = False
    told: Count = 0
    honoured: Count = 0


class Wave(Part):
    """Retries that came in step: `at_s` the fullest tenth of a second, with `users` who tried again in it.

    `dispersion` is the variance of such tenths over their mean; independent users give about 1.
    """

    at_s: float
    users: Count
    dispersion: float


class WindowModel(Part):
    """One window, in seconds of the test.

    `detection_s` counts from its start to the end of the first try that failed or call that was slow,
    `recovery_s` from its end until calls are as before; None when they never were or nobody can tell, as
    `recovery` says. `target_back_s` looks at tries alone: their callers may wait longer.
    `peak_rate` is of requests sent until then, attempts each counted, over one second; `usual_rate` before.
    `lost_s` was spent in failed calls, waiting to repeat them, and beyond the usual in others; wasted is
    what failed work used. `runs_hung` waited in vain, from a moment in the window, for more than 10 s and ten times
    what nine of ten runs took before; for those that the end of the test cut, 10 s are 1 s.
    """

    name: str
    start_s: float
    end_s: float
    before: Span
    during: Span
    after: Span
    detection_s: float | None = None
    recovery_s: float | None = None
    recovery: str = ""
    target_back_s: float | None = None
    retries: Retries
    usual_rate: float | None = None
    peak_rate: float | None = None
    wave: Wave | None = None
    lost_s: float = 0.0
    wasted_tokens: Count = 0
    wasted_cost_usd: Usd = "0"
    runs: Count = 0
    runs_failed: Count = 0
    runs_hung: Count = 0
    duplicates: Count = 0
    sentence: str = ""


class Resilience(Part):
    """All windows; none when the test had none."""

    windows: list[WindowModel] = Field(default_factory=list)
