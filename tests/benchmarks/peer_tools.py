"""How each load tester is asked for the same work, where it writes its TTFT, and where it is found: for `peers.py`."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TOKENS, TTFT_MS, ITL_MS = 64, 50, 5
REPLY_S = (TTFT_MS + (TOKENS - 1) * ITL_MS) / 1000
START_S = 60  # the longest that a tool may take to start, and to report
PROMPT = "Tell me a story."
PACKAGES = {"aiperf": "aiperf", "evalscope": "evalscope[perf]"}  # those that --install sets up

LOCUSTFILE = f"""
from locust import constant, task
from agentlocust import OpenAIUser

class Bench(OpenAIUser):
    wait_time = constant(0)

    @task
    def ask(self):
        self.chat([{{"role": "user", "content": {PROMPT!r}}}])
"""


@dataclass(frozen=True, slots=True)
class Work:
    """What one run is asked to do, and the directory it may write to."""

    url: str
    streams: int
    seconds: int
    directory: Path

    @property
    def requests(self) -> int:
        """As many as an ideal tool completes in that time."""
        return round(self.streams * self.seconds / REPLY_S)


@dataclass(frozen=True, slots=True)
class Tool:
    """How to ask a tool for the work, and where it writes its TTFT p50 and p99 in milliseconds."""

    package: str
    command: Callable[[Work], Sequence[object]]
    ttft: Callable[[Path], tuple[float, float]]


def tokenizer(directory: Path) -> Path:
    """A tokenizer of a few words, for tools that insist on loading one: the real ones are on the network."""
    folder = directory / "tokenizer"
    folder.mkdir()
    words = ["<unk>", "Tell", "me", "a", "story", ".", *(f"word{n}" for n in range(500))]
    model = {"type": "WordLevel", "vocab": {word: n for n, word in enumerate(words)}, "unk_token": "<unk>"}
    pieces = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": model}
    (folder / "tokenizer.json").write_text(json.dumps(pieces))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def agentlocust_command(work: Work) -> Sequence[object]:
    """Users that call chat() without waiting; Locust stops them by time."""
    locustfile = work.directory / "locustfile.py"
    locustfile.write_text(LOCUSTFILE)
    users = ("-u", work.streams, "-r", work.streams, "-t", f"{work.seconds}s", "-s", START_S)
    return "-f", locustfile, "--headless", "--only-summary", "--allow-saturated", "--host", work.url, *users


def agentlocust_ttft(directory: Path) -> tuple[float, float]:
    """From summary.json."""
    [path] = (path for path in directory.glob("results/*/summary.json") if not path.parent.is_symlink())
    ttft = json.loads(path.read_text())["rows"][0]["ttft"]
    return ttft["p50"] * 1000, ttft["p99"] * 1000


def aiperf_command(work: Work) -> Sequence[object]:
    """Counts tokens by the server's usage: encoding every reply again would cost it more."""
    prompts = work.directory / "prompts.jsonl"
    prompts.write_text(f"{json.dumps({'text': PROMPT})}\n" * work.streams)
    target = ("profile", "--url", work.url, "--model", "mock", "--endpoint-type", "chat", "--streaming")
    load = ("--concurrency", work.streams, "--request-count", work.requests)
    data = ("--input-file", prompts, "--custom-dataset-type", "single_turn", "--tokenizer", tokenizer(work.directory))
    lean = ("--use-server-token-count", "--ui", "none", "--no-server-metrics", "--no-gpu-telemetry")
    return *target, *load, *data, *lean, "--export-level", "summary", "--artifact-dir", "results"


def aiperf_ttft(directory: Path) -> tuple[float, float]:
    """From its JSON export."""
    ttft = json.loads((directory / "results/profile_export_aiperf.json").read_text())["time_to_first_token"]
    return ttft["p50"], ttft["p99"]


def evalscope_command(work: Work) -> Sequence[object]:
    """Needs no tokenizer where the server tells usage."""
    prompts = work.directory / "prompts.txt"
    prompts.write_text(f"{PROMPT}\n" * work.streams)
    target = ("perf", "--api", "openai", "--url", f"{work.url}/v1/chat/completions", "--model", "mock", "--stream")
    load = ("--parallel", work.streams, "--number", work.requests, "--max-tokens", TOKENS, "--no-test-connection")
    data = ("--dataset", "line_by_line", "--dataset-path", prompts)
    return *target, *load, *data, "--outputs-dir", "results", "--no-timestamp"


def evalscope_ttft(directory: Path) -> tuple[float, float]:
    """From its percentiles."""
    [path] = directory.glob("results/**/benchmark_percentile.json")
    ttft = {row["Percentiles"]: row["TTFT (ms)"] for row in json.loads(path.read_text())}
    return ttft["50%"], ttft["99%"]


def guidellm_command(work: Work) -> Sequence[object]:
    """Ends when its prompts do, so there is one a request; its health check asks for a route of vLLM's."""
    prompts = work.directory / "prompts.jsonl"
    prompts.write_text(f"{json.dumps({'prompt': PROMPT})}\n" * work.requests)
    chat = "request_format=/v1/chat/completions,validate_backend=false"
    target = ("run", "--backend", f"kind=openai_http,target={work.url},model=mock,{chat}")
    load = (
        "--profile",
        f"kind=concurrent,streams={work.streams}",
        "--constraint",
        f"kind=max_requests,count={work.requests}",
    )
    data = (
        "--data",
        f"kind=json_file,path={prompts}",
        "--tokenizer",
        f"kind=hf_auto,model={tokenizer(work.directory)}",
    )
    return *target, *load, *data, "--output", "kind=json,path=result.json", "--disable-progress"


def guidellm_ttft(directory: Path) -> tuple[float, float]:
    """From its JSON report."""
    [benchmark] = json.loads((directory / "result.json").read_text())["benchmarks"]
    ttft = benchmark["metrics"]["time_to_first_token_ms"]["successful"]["percentiles"]
    return ttft["p50"], ttft["p99"]


def inference_perf_command(work: Work) -> Sequence[object]:
    """Asks for 30 tokens in chat, whatever the data."""
    config = {
        "api": {"type": "chat", "streaming": True},
        "data": {"type": "mock"},
        "load": {"type": "concurrent", "stages": [{"num_requests": work.requests, "concurrency_level": work.streams}]},
        "server": {"type": "vllm", "model_name": "mock", "base_url": work.url, "ignore_eos": False},
        "tokenizer": {"pretrained_model_name_or_path": str(tokenizer(work.directory))},
        "report": {"request_lifecycle": {"summary": True, "per_stage": False, "per_request": False}},
        "storage": {"local_storage": {"path": "results"}},
    }
    path = work.directory / "config.yml"
    path.write_text(json.dumps(config))
    return "-c", path


def inference_perf_ttft(directory: Path) -> tuple[float, float]:
    """From its summary of the run."""
    report = json.loads((directory / "results/summary_lifecycle_metrics.json").read_text())
    ttft = report["successes"]["latency"]["time_to_first_token"]
    return ttft["median"] * 1000, ttft["p99"] * 1000


def genai_bench_command(work: Work) -> Sequence[object]:
    """Refreshes its live page once a second: by default it does so at every request."""
    target = ("benchmark", "--api-backend", "openai", "--api-base", work.url, "--api-key", "none")
    model = ("--api-model-name", "mock", "--model-tokenizer", tokenizer(work.directory), "--task", "text-to-text")
    load = ("--num-concurrency", work.streams, "--max-requests-per-run", work.requests, "--max-time-per-run", 5)
    data = ("--traffic-scenario", f"D(8,{TOKENS})", "--metrics-refresh-interval", 1, "--metrics-time-unit", "ms")
    return *target, *model, *load, *data, "--experiment-base-dir", "results", "--experiment-folder-name", "run"


def genai_bench_ttft(directory: Path) -> tuple[float, float]:
    """From the metrics of its one run."""
    [path] = directory.glob("results/run/*_text-to-text_*.json")
    ttft = json.loads(path.read_text())["aggregated_metrics"]["stats"]["ttft"]
    return ttft["p50"], ttft["p99"]


TOOLS = {
    "agentlocust": Tool("agentlocust", agentlocust_command, agentlocust_ttft),
    "aiperf": Tool("aiperf", aiperf_command, aiperf_ttft),
    "evalscope": Tool("evalscope", evalscope_command, evalscope_ttft),
    "guidellm": Tool("guidellm", guidellm_command, guidellm_ttft),
    "inference-perf": Tool("inference-perf", inference_perf_command, inference_perf_ttft),
    "genai-bench": Tool("genai-bench", genai_bench_command, genai_bench_ttft),
}


def found(name: str, venvs: Path) -> tuple[str, ...] | None:
    """The command of a tool, or None."""
    if name == "agentlocust":
        return sys.executable, "-m", "locust"
    own = venvs / name / "bin" / name
    path = str(own) if own.exists() else shutil.which(name)
    return (path,) if path else None


def version_of(name: str, command: Sequence[str]) -> str:
    """The version of a tool's package, as its own interpreter knows it."""
    interpreter = command[0] if name == "agentlocust" else str(Path(command[0]).resolve().with_name("python"))
    code = f"import importlib.metadata as m; print(m.version({TOOLS[name].package!r}))"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return "?"


def install(names: Sequence[str], venvs: Path) -> None:
    """Set up what is missing of the tools that install from a package index with nothing else."""
    for name in names:
        if name in PACKAGES and not found(name, venvs):
            folder = venvs / name
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            try:
                subprocess.run([folder / "bin" / "pip", "install", "--quiet", PACKAGES[name]], check=True)
            except subprocess.CalledProcessError:
                shutil.rmtree(folder)
                raise
