"""What a test's windows of trouble did to it, and how its agents behaved: before, during, after."""

from __future__ import annotations

from agentlocust import backoff
from agentlocust.ledger import Ledger
from agentlocust.metrics import SCALE, Kind, Unit
from agentlocust.ordeal import gap_key, window_key
from agentlocust.rows import Row
from agentlocust.sketch import Sketch
from agentlocust.summary.parts import Stats
from agentlocust.summary.recovery import Band, detection_s, peak_rate, recovered_s, target_back_s, wave
from agentlocust.summary.resilience_model import Resilience, Retries, Span, WindowModel
from agentlocust.units import show_count, show_percent, show_seconds, usd_text
from agentlocust.windows import Window, Windows

_NS = SCALE[Unit.SECONDS]
_HUNG_TIMES = 10  # the slowest tenth of runs before: who gets nothing for that much longer hangs
_HUNG_FLOOR_S = 10.0
_WORTH_TELLING_S = 1.0
_CUT_FLOOR_S = 1.0  # of runs that the end of the test cut: how long they would have waited nobody knows


def resilience(ledger: Ledger, windows: Windows, duration_s: float) -> Resilience:
    """Every window that has begun by now."""
    begun = [(n, window) for n, window in enumerate(windows.all) if window.start_s < duration_s]
    return Resilience(windows=[_window(ledger, windows, index, window, duration_s) for index, window in begun])


def _window(ledger: Ledger, windows: Windows, index: int, window: Window, duration_s: float) -> WindowModel:
    block = windows.block_of(index)
    end_s = min(window.end_s, duration_s)
    before_gap = next((gap for gap in range(block, -1, -1) if _row(ledger, gap_key(gap)).counts.get("calls")), block)
    before, during, after = (_row(ledger, key) for key in (gap_key(before_gap), window_key(window), gap_key(block + 1)))
    start, stop = windows.gap_span(before_gap, duration_s)
    later = windows.gap_span(block + 1, duration_s)
    spans = (
        _span(before, max(min(stop, duration_s) - start, 0.0)),
        _span(during, end_s - window.start_s),
        _span(after, max(min(later[1], duration_s) - later[0], 0.0)),
    )
    pulse = ledger.pulse
    band = Band.of(before)
    # What overlaps is one trouble: it is over when all of it is.
    over_s = windows.blocks[block][1]
    if band is None:
        recovery_s, why = None, "no call succeeded before it"
    elif duration_s <= over_s:
        recovery_s, why = None, "the test ended before it"
    else:
        recovery_s, why = recovered_s(pulse, band, over_s, min(later[1], duration_s))
    recovered = over_s + (recovery_s if recovery_s is not None else later[1] - over_s)
    watched = recovered + 1.0
    found = WindowModel(
        name=window.name,
        start_s=window.start_s,
        end_s=end_s,
        before=spans[0],
        during=spans[1],
        after=spans[2],
        detection_s=detection_s(pulse, band, window.start_s, watched) if band is not None else None,
        recovery_s=recovery_s,
        recovery=why,
        target_back_s=target_back_s(pulse, band, over_s, min(later[1], duration_s)) if band is not None else None,
        retries=_retries(during),
        usual_rate=peak_rate(pulse, start, stop),
        peak_rate=peak_rate(pulse, window.start_s, recovered),
        wave=wave(pulse, window.start_s, watched),
        lost_s=_lost_s(during, band),
        wasted_tokens=during.counts.get("wasted_tokens", 0),
        wasted_cost_usd=usd_text(during.counts.get("wasted_picousd", 0)),
        runs=during.counts.get("runs", 0),
        runs_failed=during.counts.get("runs_failed", 0),
        runs_hung=_hung(before, during),
        duplicates=during.counts.get("duplicates", 0),
    )
    found.sentence = _sentence(found)
    return found


def _row(ledger: Ledger, name: str) -> Row:
    return ledger.rows.get((Kind.WINDOW, name, "", "", ()), Row())


def _span(row: Row, seconds: float) -> Span:
    calls, failed = row.counts.get("calls", 0), row.counts.get("failed", 0)
    return Span(
        seconds=seconds,
        calls=calls,
        failed=failed,
        cancelled=row.counts.get("cancelled", 0),
        availability=(calls - failed) / calls if calls else None,
        error_rate=failed / calls if calls else None,
        rate=calls / seconds if seconds else None,
        latency=Stats.of(row.sketches.get("latency"), _NS),
        failed_latency=Stats.of(row.sketches.get("failed_latency"), _NS),
        ttft=Stats.of(row.sketches.get("ttft"), _NS),
        failures={
            name.removeprefix("failure:"): n for name, n in sorted(row.counts.items()) if name.startswith("failure:")
        },
    )


def _retries(row: Row) -> Retries:
    counts = row.counts
    manner = backoff.manner_of(counts, row.sketches)
    attempts = counts.get("attempts", 0)
    intended = max(counts.get("calls", 0) + counts.get("cancelled", 0) - counts.get("repeats", 0), 0)
    waits = [row.sketches.get(f"wait:{n}") for n in range(1, backoff.MAX_ORDINAL + 1)]
    return Retries(
        behaviour=manner.behaviour.value,
        waits=manner.waits,
        intended=intended,
        attempts=attempts,
        amplification=attempts / intended if intended else None,
        wait_s=None if manner.median_ns is None else manner.median_ns / _NS,
        wait_p50_s=[sketch.percentile(50) / _NS for sketch in waits if sketch is not None],
        growth=manner.growth,
        jittered=manner.jittered,
        told=manner.told,
        honoured=manner.honoured,
    )


def _lost_s(during: Row, band: Band | None) -> float:
    """Time in failed calls, between them and their repetition, and what others took beyond the mean of before."""
    failed, done = during.sketches.get("failed_latency", Sketch()), during.sketches.get("latency", Sketch())
    usual_ns = band.mean_ns * done.count if band is not None else done.sum
    return float((failed.sum + during.counts.get("waited_ns", 0) + max(done.sum - usual_ns, 0)) / _NS)


def _hung(before: Row, during: Row) -> int:
    """Runs that waited in vain for far longer than runs took before; at the end of the test also for less than 10 s."""
    usual = before.sketches.get("run_any")
    limit_ns = round(_HUNG_TIMES * usual.percentile(90)) if usual is not None else 0
    floors = (("stuck", _HUNG_FLOOR_S), ("stuck_at_end", _HUNG_FLOOR_S if usual is None else _CUT_FLOOR_S))
    return sum(_longer(during.sketches.get(name), max(round(floor_s * _NS), limit_ns)) for name, floor_s in floors)


def _longer(sketch: Sketch | None, limit_ns: int) -> int:
    return sketch.count - sketch.count_at_most(limit_ns) if sketch is not None else 0


def _sentence(window: WindowModel) -> str:
    """The window in a line or two: what failed, how it was borne, whether it is over."""
    retries, during = window.retries, window.during
    parts = ["no call" if during.availability is None else f"{show_percent(during.availability)} available"]
    if window.recovery_s is not None:
        after = f"in {show_seconds(window.recovery_s)}" if window.recovery_s else "at once"
        parts.append(f"recovered {after}")
    else:
        parts.append(window.recovery)
    back_s = window.target_back_s
    if back_s is not None and (window.recovery_s is None or window.recovery_s > back_s + _WORTH_TELLING_S):
        parts.append(f"the target was back {f'in {show_seconds(back_s)}' if back_s else 'at once'}")
    parts.append(f"retries {retries.behaviour}" if retries.waits else retries.behaviour)
    if retries.amplification is not None and retries.amplification > 1:
        parts.append(f"{retries.amplification:.1f} tries a call")
    if window.wave is not None:
        parts.append(f"a wave of retries in step, {window.wave.users} users at once")
    if window.runs_hung:
        parts.append(f"{window.runs_hung} {'run' if window.runs_hung == 1 else 'runs'} hung")
    if window.duplicates:
        parts.append(f"{window.duplicates} tools done twice")
    if window.lost_s >= _WORTH_TELLING_S:
        parts.append(f"{show_seconds(window.lost_s)} lost")
    if window.wasted_tokens:
        parts.append(f"{show_count(window.wasted_tokens)} tokens wasted")
    return "; ".join(parts)
