"""Runs one worker against the mock at rising load and rates it against the mock's own truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from agentlocust.errors import AgentLocustError
from agentlocust.mock.embedded import EmbeddedMock
from agentlocust.rating import Rating, Step, this_machine

TOKENS = 64
MAX_P50_BIAS_MS = 1.0
MAX_P99_BIAS_MS = 5.0
MIN_ACHIEVED = 0.97
FIRST_STREAMS = 16
MAX_STREAMS = 4096


def calibrate(ttft_ms: float, itl_ms: float, seconds: float, told: Callable[[Step], None]) -> Rating:
    """Double the streams until a step is no longer true, then look once in between.

    `told` hears of each step as it ends. Raises AgentLocustError when even the first is not true.
    """
    steps: list[Step] = []

    def attempt(streams: int) -> Step:
        step = _step(streams, ttft_ms, itl_ms, seconds)
        steps.append(step)
        told(step)
        return step

    streams, best = FIRST_STREAMS, None
    while streams <= MAX_STREAMS:
        step = attempt(streams)
        if not step.ok:
            break
        best, streams = step, streams * 2
    if best is None:
        raise AgentLocustError(f"not even {FIRST_STREAMS} streams were read truly: this machine is too busy to rate")
    if streams <= MAX_STREAMS:
        between = attempt(best.streams * 3 // 2)
        best = between if between.ok else best
    machine, cores = this_machine()
    return Rating(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        cores=cores,
        ttft_ms=ttft_ms,
        itl_ms=itl_ms,
        rated_streams=best.streams,
        rated_tokens_per_s=best.tokens_per_s,
        steps=steps,
    )


def _step(streams: int, ttft_ms: float, itl_ms: float, seconds: float) -> Step:
    reply_s = (ttft_ms + (TOKENS - 1) * itl_ms) / 1000
    with tempfile.TemporaryDirectory() as folder:
        mock = EmbeddedMock.start(f"ttft={ttft_ms}ms,itl={itl_ms}ms,tokens={TOKENS}")
        try:
            summary = _run_locust(mock.url, streams, seconds + 2 * reply_s, reply_s, Path(folder))
            truth = _truth(mock.url)
        finally:
            mock.stop()
    return _judged(streams, summary, truth, streams / reply_s * TOKENS, reply_s)


def _run_locust(url: str, streams: int, seconds: float, reply_s: float, folder: Path) -> dict[str, Any]:
    options = ["--headless", "--only-summary", "-u", str(streams), "-r", "100000", "-t", f"{seconds:.0f}s"]
    options += ["--host", url, "--out", str(folder), "--allow-saturated", "--warmup", f"{2 * reply_s:.2f}s"]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AGENTLOCUST_", "LOCUST_"))
    }
    environment["AGENTLOCUST_CALIBRATION_SPREAD_S"] = str(reply_s)
    here = Path(__file__).resolve()
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(here.parents[2]), environment.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "locust", "-f", str(here.with_name("load.py")), *options]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=output)
        try:
            while process.poll() is None and _truth(url)["completed"] < streams:
                time.sleep(0.1)  # other processes have to move: there is nothing to wait on
            httpx2.post(f"{url}/_truth/reset", trust_env=False)  # the start is no steady load
            process.wait()
        finally:
            process.kill()
    found = list(folder.glob("*/summary.json"))
    if not found:
        told = log.read_text(encoding="utf-8", errors="replace")[-800:]
        raise AgentLocustError(f"the trial with {streams} streams ended with {process.returncode}: {told}")
    summary: dict[str, Any] = json.loads(found[0].read_text(encoding="utf-8"))
    return summary


def _truth(url: str) -> dict[str, Any]:
    truth: dict[str, Any] = httpx2.get(f"{url}/_truth", trust_env=False).json()
    return truth


def _judged(
    streams: int, summary: dict[str, Any], truth: dict[str, Any], ideal_tokens_per_s: float, reply_s: float
) -> Step:
    row = next(row for row in summary["rows"] if row["phase"] == "main")
    generator = summary["generator"]
    # The steady part: whole seconds after all streams started and before the first ended for good.
    steady = [p for p in summary["series"] if 2 * reply_s <= p["t"] < summary["test"]["duration_s"] - reply_s - 1]
    tokens_per_s = sum(point["output_tokens"] for point in steady) / max(len(steady), 1)
    step = Step(
        streams=streams,
        tokens_per_s=tokens_per_s,
        achieved=tokens_per_s / ideal_tokens_per_s,
        ttft_p50_bias_ms=(row["ttft"]["p50"] - truth["ttft_s"]["p50"]) * 1000,
        ttft_p99_bias_ms=(row["ttft"]["p99"] - truth["ttft_s"]["p99"]) * 1000,
        itl_p50_bias_ms=(row["itl"]["p50"] - truth["itl_s"]["p50"]) * 1000,
        lag_p99_ms=(summary["validity"]["lag_p99_s"] or 0.0) * 1000,
        cpu=generator["cpu_mean"],
        grade=generator["grade"],
        ok=False,
    )
    holds = (
        abs(step.ttft_p50_bias_ms) <= MAX_P50_BIAS_MS
        and abs(step.ttft_p99_bias_ms) <= MAX_P99_BIAS_MS
        and step.achieved >= MIN_ACHIEVED
        and step.grade == "valid"
    )
    return step.model_copy(update={"ok": holds})
