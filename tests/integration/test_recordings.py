"""Recorded traffic and prompts from files, played by the real `locust` command and checked against the mock's books."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness import ROOT, LocustTest, MockServer, run
from open_loops import offered_rate, play
from sample_locustfiles import chat

SPEC = "ttft=2ms,itl=0ms,fill=yes"  # each reply is as long as asked for
FRAME = 3  # tokens that the mock counts for a message's frame
ASK = "self.chat(self.prompt())"
ROWS = [(number / 10, number * 37 % 300 + 1, number * 13 % 60 + 1) for number in range(30)]  # s, input, output
PROMPTS = [f"prompt number {number}" for number in range(40)]
WORKERS = pytest.mark.parametrize("way", ["local", "processes"])


def azure(rows):
    """`TIMESTAMP` with seven decimals."""
    start = datetime(2023, 11, 16, 18, 59, 58, tzinfo=UTC)
    lines = [f"{start + timedelta(seconds=t):%Y-%m-%d %H:%M:%S.%f}0,{sent},{got}" for t, sent, got in rows]
    return "\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines])


def burst_gpt(rows):
    """Seconds, and columns that are not read."""
    lines = [f"{t + 5:.1f},ChatGPT,{sent},{got},{sent + got},Conversation log" for t, sent, got in rows]
    return "\n".join(["Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type", *lines])


def mooncake(rows):
    """Milliseconds and blocks."""
    keys = ("timestamp", "input_length", "output_length", "hash_ids")
    return "\n".join(json.dumps(dict(zip(keys, (round(t * 1000), a, b, [0]), strict=True))) for t, a, b in rows)


def ours(rows):
    """Seconds and sizes."""
    return "\n".join(json.dumps({"t": t, "input": sent, "output": got}) for t, sent, got in rows)


def replay(directory: Path, server: MockServer, text: str, settings: str = "", *args: str, way="local", **options):
    """A test that replays a file of this text, to its own end unless told otherwise."""
    (directory / "trace.txt").write_text(text)
    options = {"users": 20, "run_time": "", **options}
    trace = f"trace.txt{settings}"
    return run(directory, chat(body=ASK), "--host", server.url, "--trace", trace, *args, way=way, **options)


def played(truth):
    """Requests, input tokens and output tokens that the mock served."""
    requests = truth["requests"]
    return requests, truth["tokens"]["input"] - FRAME * requests, truth["tokens"]["output"]


def recorded(rows):
    """The same of a recording."""
    return len(rows), sum(sent for _, sent, _ in rows), sum(got for *_, got in rows)


@pytest.mark.parametrize(
    ("written", "way"),
    [
        (azure, "local"),
        (burst_gpt, "local"),
        (mooncake, "processes"),
        (ours, "processes"),
        pytest.param(mooncake, "local", marks=pytest.mark.long),
        pytest.param(azure, "processes", marks=pytest.mark.long),
        pytest.param(ours, "distributed", marks=pytest.mark.long),
    ],
)
def test_a_recording_is_played_to_the_token(tmp_path, mock_server, written, way):
    """Every request of it, with as many tokens in and out, and as fast as it came."""
    server = mock_server(SPEC)
    result = replay(tmp_path, server, written(ROWS), way=way).expect(0)
    assert played(server.final_truth()) == recorded(ROWS)
    (row,) = result.summary["arrivals"]
    assert (row["offered"], row["started"], row["late"]) == (30, 30, 0)
    assert row["seconds"] == pytest.approx(3, abs=0.5)
    assert result.summary["totals"]["tokens"]["output"] == recorded(ROWS)[2]


@pytest.mark.parametrize(
    ("settings", "args", "rows", "seconds"),
    [
        (":speed=3", (), ROWS, 1),
        (":from=1s,cut=1s", (), ROWS[10:20], 1),
        (":speed=6,loop=yes", ("-t", "2s"), ROWS * 4, 2),
        ("", ("-t", "1s"), ROWS[:10], 1),
        (":speed=3", ("--warmup", "500ms"), ROWS, 1),
        (":speed=3", ("--output-tokens", "9"), [(t, sent, 9) for t, sent, _ in ROWS], 1),
    ],
)
def test_a_recording_is_cut_repeated_and_played_faster(tmp_path, mock_server, settings, args, rows, seconds):
    """What is left of it is played to the token, at its pace."""
    server = mock_server(SPEC)
    result = replay(tmp_path, server, ours(ROWS), settings, *args).expect(0)
    requests, sent, got = played(server.final_truth())
    more = requests - len(rows)  # within the last moment of a test that time ends
    assert 0 <= more <= (2 if "-t" in args else 0)
    assert (sent, got) == recorded(rows)[1:] or more
    lasted = sum({row["phase"]: row["seconds"] for row in result.summary["arrivals"]}.values())
    assert lasted == pytest.approx(seconds, abs=0.4)


@WORKERS
def test_the_last_arrivals_are_not_lost(tmp_path, mock_server, way):
    """Neither a lone one nor forty at once, of whom most must wait for a user."""
    server = mock_server("ttft=100ms,itl=0ms,fill=yes")
    rows = [(0, 5, 5)] * 40
    result = replay(tmp_path, server, ours(rows), way=way, users=4).expect(0)
    assert played(server.final_truth()) == recorded(rows)
    (row,) = result.summary["arrivals"]
    assert row["late"] >= 36
    assert row["started"] == 40
    assert result.summary["shape"]["complete"] is True


def test_a_lone_arrival_is_played(tmp_path, mock_server):
    """A recording of one request lasts no time at all."""
    server = mock_server(SPEC)
    replay(tmp_path, server, ours([(0, 7, 3)]), users=2).expect(0)
    assert played(server.final_truth()) == (1, 7, 3)


def test_rows_of_two_classes_go_to_their_classes(tmp_path, mock_server):
    """Each has its own gate; rows without a class go where `class=` says. Rows out of order are told of."""
    server = mock_server(SPEC)
    rows = [{"t": t, "input": sent, "output": got} for t, sent, got in ROWS]
    for row in rows[::3]:
        row["class"] = "Second"
    rows[4], rows[5] = rows[5], rows[4]
    (tmp_path / "trace.jsonl").write_text("\n".join(map(json.dumps, rows)))
    locustfile = chat(body=ASK) + "\n\nclass Second(Chat):\n    pass\n"
    args = ("--host", server.url, "--trace", "trace.jsonl:class=Chat,speed=3")
    result = run(tmp_path, locustfile, *args, users=20, run_time="").expect(0)
    assert {row["name"]: row["started"] for row in result.summary["arrivals"]} == {"Chat": 20, "Second": 10}
    assert played(server.final_truth()) == recorded(ROWS)
    assert any("out of order" in warning for warning in result.summary["warnings"])


# -- prompts -----------------------------------------------------------------------------------

# Each user writes down what the mock has heard.
ECHO = f"""
                reply = {ASK}
                with open(f"heard-{{os.getpid()}}.txt", "a") as file:
                    file.write(reply.text + "\\\\n")
"""


def asked_by(directory: Path) -> list[Counter[str]]:
    """The prompts that the mock heard from each process."""
    return [Counter(path.read_text().splitlines()) for path in directory.glob("heard-*.txt")]


def echo_test(directory: Path, name: str, order: str, calls: int, way: str):
    """A test that asks a file's prompts and writes down how they were echoed."""
    locustfile = "import os\n" + chat(body=ECHO.replace("\\\\", "\\").strip())
    args = ("--dataset", f"{name}:order={order}", "--mock", "ttft=1ms,itl=0ms,echo=prompt", "--calls", str(calls))
    return play(directory, *args, way=way, users=1 if way == "local" else 6, locustfile=locustfile).expect(0)


def jsonl():
    """Our own lines."""
    return "\n".join(json.dumps({"prompt": prompt}) for prompt in PROMPTS)


def csv():
    """A column among others."""
    return "\n".join(["id,question,output_tokens", *(f'{n},"{prompt}",50' for n, prompt in enumerate(PROMPTS))])


def share_gpt():
    """Conversations, of which the first human turn is asked."""
    turns = [[{"from": "human", "value": prompt}, {"from": "gpt", "value": "yes " * 50}] for prompt in PROMPTS]
    return json.dumps([{"id": n, "conversations": each} for n, each in enumerate(turns)])


@pytest.mark.parametrize(
    ("written", "order", "way"),
    [
        (jsonl, "in-order", "local"),
        (csv, "shuffle", "local"),
        (share_gpt, "in-order", "local"),
        (jsonl, "shuffle", "processes"),
        (csv, "in-order", "processes"),
        pytest.param(share_gpt, "shuffle", "processes", marks=pytest.mark.long),
        pytest.param(jsonl, "shuffle", "local", marks=pytest.mark.long),
        pytest.param(share_gpt, "shuffle", "local", marks=pytest.mark.long),
        pytest.param(csv, "in-order", "local", marks=pytest.mark.long),
        pytest.param(jsonl, "in-order", "processes", marks=pytest.mark.long),
        pytest.param(share_gpt, "in-order", "processes", marks=pytest.mark.long),
        pytest.param(csv, "shuffle", "processes", marks=pytest.mark.long),
    ],
)
def test_a_pass_asks_every_prompt_once(tmp_path, written, order, way):
    """Each worker has its own part of them, whatever it is written in."""
    (tmp_path / "prompts.txt").write_text(written())
    result = echo_test(tmp_path, "prompts.txt", order, len(PROMPTS), way)
    heard = asked_by(tmp_path)
    if way == "local":
        assert heard == [Counter(PROMPTS)]
        assert result.summary["warnings"] == []
    elif len(heard) == 2:  # the quicker worker may have begun its part again
        assert not heard[0].keys() & heard[1].keys()
        assert sum(map(len, heard)) > len(PROMPTS) / 2  # more than one of the two parts
    if way == "local":
        text = next(tmp_path.glob("heard-*.txt")).read_text()
        assert (text.splitlines() == PROMPTS) is (order == "in-order")


@WORKERS
def test_samples_and_duplicates_are_told_of(tmp_path, way):
    """A cache in the target would answer for the model: in the file's own duplicates, and in what was asked again."""
    (tmp_path / "prompts.txt").write_text("\n".join(json.dumps({"prompt": text}) for text in [*PROMPTS, *PROMPTS[:20]]))
    result = echo_test(tmp_path, "prompts.txt", "sample", 200, way)
    first, second = result.summary["warnings"]
    assert "33.3% of the 60 prompts are duplicates" in first
    assert "of the 200 prompts sent had been sent before" in second
    assert "duplicates" in result.output
    assert sum(sum(heard.values()) for heard in asked_by(tmp_path)) == 200


@pytest.mark.parametrize("api", ["OpenAIUser", "AnthropicUser"])
def test_a_conversation_is_sent_whole(tmp_path, mock_server, api):
    """Its system text and its turns, in either provider's form."""
    server = mock_server("ttft=1ms,itl=0ms,tokens=3")
    turns = [
        {"role": "system", "content": "s" * 40},
        {"role": "user", "content": "u" * 80},
        {"role": "assistant", "content": "a" * 120},
        {"role": "user", "content": "q" * 160},
    ]
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"messages": turns}))
    locustfile = f"""\
from locust import task

from agentlocust import {api}


class Chat({api}):
    model = "{"gpt-4o-mini" if api == "OpenAIUser" else "claude-3-haiku-20240307"}"

    @task
    def ask(self):
        assert self.chat(self.prompt()).ok
"""
    args = ("--host", server.url, "--dataset", "prompts.jsonl", "--calls", "10")
    run(tmp_path, locustfile, *args, run_time="").expect(0)
    truth = server.final_truth()
    assert (truth["requests"], truth["failed"]) == (10, 0)
    assert truth["tokens"]["input"] == 10 * (10 + 20 + 30 + 40 + 4 * FRAME)


def test_the_replay_locustfile_runs_by_its_own_words(tmp_path):
    """The command in its docstring, for a shorter time: sizes as asked for, at the rate asked for."""
    path = ROOT / "locustfiles" / "replay.py"
    line = next(line for line in path.read_text().splitlines() if line.startswith("locust -f"))
    assert "--headless -t 20s --rate 5/s --prompt-tokens 'lognormal(400,0.5)' --output-tokens 60" in line
    args = ("--rate", "5/s", "--prompt-tokens", "lognormal(400,0.5)", "--output-tokens", "60", "--seed", "2")
    with LocustTest(tmp_path, path, *args, users=None, run_time="6s") as test:
        result = test.finish().expect(0)
    totals = result.summary["totals"]
    assert totals["calls"] == result.summary["arrivals"][0]["offered"]
    assert offered_rate(result.summary) == pytest.approx(5, rel=0.6)
    assert totals["tokens"]["output"] <= 60 * totals["calls"]
    assert 200 < totals["tokens"]["input"] / totals["calls"] < 800
