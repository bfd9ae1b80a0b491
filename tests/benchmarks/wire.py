"""What reading a token costs, and how true its time is: ways of calling an LLM under Locust, side by side.

    python tests/benchmarks/wire.py [--streams 64,256] [--ways chat,raw,typed,script] [--repeat 3]

Each row is a real `locust` process that keeps N streams open against `agentlocust mock` (64 tokens, TTFT 50 ms,
5 ms between tokens unless told otherwise): CPU of the locust process per streamed token, the share of the ideal
rate N / (TTFT + 63 x ITL) that the mock saw, and how far the reported TTFT and ITL are from what the mock measured
itself. With --repeat the median row is shown, by CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from harness import LocustTest, MockServer  # the harness of the integration tests

TOKENS = 64

# Users start spread over one reply, as they would in life: in step they would all end at once, and wait in line.
HEAD = """
import random

import gevent
from locust import User, constant, events, task
from agentlocust import OpenAIUser

MESSAGES = [{"role": "user", "content": "Tell me a story."}]
"""
WAYS = {
    "chat": """
class Bench(OpenAIUser):
    wait_time = constant(0)

    def on_start(self):
        gevent.sleep(random.uniform(0, SPREAD_S))

    @task
    def ask(self):
        self.chat(MESSAGES)
""",
    "raw": """
class Bench(OpenAIUser):
    wait_time = constant(0)

    def on_start(self):
        gevent.sleep(random.uniform(0, SPREAD_S))

    @task
    def ask(self):
        create = self.client.chat.completions.with_streaming_response.create
        with create(model=self.model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}) as reply:
            for _ in reply.iter_bytes():
                pass
""",
    "typed": """
class Bench(OpenAIUser):
    wait_time = constant(0)

    def on_start(self):
        gevent.sleep(random.uniform(0, SPREAD_S))

    @task
    def ask(self):
        options = {"include_usage": True}
        for _ in self.client.chat.completions.create(
            model=self.model, messages=MESSAGES, stream=True, stream_options=options
        ):
            pass
""",
    # As people write it: one SDK client a user, the clock read where the typed chunk is seen.
    "script": """
import json, os, time
import openai
from gevent import get_hub

TTFT, GAPS = [], []

class Bench(User):
    wait_time = constant(0)

    def on_start(self):
        self.client = openai.OpenAI(api_key="none", base_url=self.host + "/v1", max_retries=0)
        gevent.sleep(random.uniform(0, SPREAD_S))

    @task
    def ask(self):
        started = time.perf_counter()
        first = last = None
        stream = self.client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                now = time.perf_counter()
                if first is None:
                    first = now
                    TTFT.append(first - started)
                else:
                    GAPS.append(now - last)
                last = now
        self.environment.events.request.fire(
            request_type="LLM", name="chat", response_time=(last - started) * 1000, response_length=0, exception=None
        )

@events.quitting.add_listener
def save(environment, **_):
    def at(values, share):
        values = sorted(values)
        return values[min(int(share * len(values)), len(values) - 1)] if values else None
    with open(os.environ["BENCH_OUT"], "w") as file:
        json.dump({"ttft_p50": at(TTFT, 0.5), "ttft_p99": at(TTFT, 0.99), "itl_p50": at(GAPS, 0.5)}, file)
""",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: microseconds of CPU a token, share of the ideal rate, biases in milliseconds."""

    way: str
    streams: int
    cpu_us: float
    achieved: float
    ttft_p50_bias: float
    ttft_p99_bias: float
    itl_p50_bias: float
    ttft_p50: float
    ttft_p99: float
    grade: str
    clock: str


def measure(way: str, streams: int, ttft_ms: float, itl_ms: float, seconds: float) -> Measured:
    """Run one way at one load and compare it with the mock's truth."""
    reply_s = (ttft_ms + (TOKENS - 1) * itl_ms) / 1000
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        directory = Path(folder)
        mock = stack.enter_context(MockServer(directory, f"ttft={ttft_ms}ms,itl={itl_ms}ms,tokens={TOKENS}"))
        out = directory / "script.json"
        args = ("--host", mock.url, "--allow-saturated", "--only-summary", "-r", "1000")
        test = stack.enter_context(
            LocustTest(
                directory,
                HEAD + f"SPREAD_S = {(ttft_ms + TOKENS * itl_ms) / 1000}\n" + WAYS[way],
                *args,
                users=streams,
                run_time=f"{seconds + 5 * reply_s + 3:.0f}s",
                stop_timeout="20",
                env={"BENCH_OUT": str(out)},
            )
        )
        process = psutil.Process(test.main.pid)
        truth = mock.truth()
        while truth["completed"] < streams:  # every stream has made its first call: the start is over
            time.sleep(0.1)
            truth = mock.truth()
            if test.main.poll() is not None:
                test.finish()
                message = f"{way} at {streams} streams ended early"
                raise RuntimeError(message)
        time.sleep(2 * reply_s)  # steady: from here on differences of the mock's books are taken
        before, begun, cpu = mock.truth(), time.monotonic(), cpu_of(process)
        time.sleep(seconds)
        after, window, cpu = mock.truth(), time.monotonic() - begun, cpu_of(process) - cpu
        result = test.finish(90)
        truth = mock.truth()
        seen = times_of(result.summaries, way, out)
    ideal = streams / reply_s
    true_ttft, true_itl = truth["ttft_s"], truth["itl_s"]
    tokens = after["tokens"]["output"] - before["tokens"]["output"] or 1
    generator = result.summaries[0].get("generator") if result.summaries else None
    return Measured(
        way,
        streams,
        cpu / tokens * 1e6,
        (after["completed"] - before["completed"]) / window / ideal,
        (seen["ttft_p50"] - true_ttft["p50"]) * 1e3,
        (seen["ttft_p99"] - true_ttft["p99"]) * 1e3,
        (seen["itl_p50"] - true_itl["p50"]) * 1e3,
        seen["ttft_p50"] * 1e3,
        seen["ttft_p99"] * 1e3,
        generator["grade"] if generator else "-",
        generator["clock"] if generator else "-",
    )


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds a process has used."""
    times = process.cpu_times()
    return times.user + times.system


def times_of(summaries: list, way: str, out: Path) -> dict:
    """What the run itself says of TTFT and ITL, in seconds."""
    if way == "script":
        return json.loads(out.read_text())
    row = summaries[0]["rows"][0]
    return {"ttft_p50": row["ttft"]["p50"], "ttft_p99": row["ttft"]["p99"], "itl_p50": row["itl"]["p50"]}


def show(rows: list[Measured]) -> None:
    """Print the table."""
    print("way     streams  CPU us/token  achieved  TTFT p50 (bias)   TTFT p99 (bias)   ITL p50 bias  grade      clock")
    for row in rows:
        print(
            f"{row.way:<7}{row.streams:>8}{row.cpu_us:>14.1f}{row.achieved:>9.1%}"
            f"{row.ttft_p50:>10.1f} ({row.ttft_p50_bias:+.2f}) ms"
            f"{row.ttft_p99:>10.1f} ({row.ttft_p99_bias:+.2f}) ms"
            f"{row.itl_p50_bias:>+11.2f} ms  {row.grade:<10} {row.clock}"
        )


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", default="64,256")
    parser.add_argument("--ways", default="chat,raw,typed,script")
    parser.add_argument("--ttft", type=float, default=50, help="milliseconds")
    parser.add_argument("--itl", type=float, default=5, help="milliseconds")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    rows = []
    for streams in map(int, options.streams.split(",")):
        for way in options.ways.split(","):
            runs = [measure(way, streams, options.ttft, options.itl, options.seconds) for _ in range(options.repeat)]
            middle = statistics.median_low(run.cpu_us for run in runs)
            rows.append(next(run for run in runs if run.cpu_us == middle))
    show(rows)


if __name__ == "__main__":
    main()
