"""`--ttft-as` in the real `locust` command: other tools' definitions, in every mode."""

from __future__ import annotations

import pytest

from harness import run
from sample_locustfiles import chat

SPEC = "ttft=40ms,itl=10ms,tokens=9"


def main_row(result):
    (row,) = [row for row in result.summary["rows"] if row["kind"] == "LLM"]
    return row


@pytest.mark.parametrize("way", ["local", "processes"])
def test_aiperfs_itl_is_one_number_a_call(tmp_path, way):
    """The master's option reaches the workers; ours has a gap a token."""
    result = run(tmp_path, chat(), "--mock", SPEC, "--ttft-as", "aiperf", way=way).expect(0)
    row = main_row(result)
    assert row["itl"]["count"] == row["tpot"]["count"] == row["count"]
    assert row["itl"]["mean"] == pytest.approx(row["tpot"]["mean"], rel=1e-6)
    assert result.summary["test"]["settings"]["ttft_as"] == "aiperf"


def test_guidellms_tpot_includes_the_ttft(tmp_path):
    """From the environment too: (40 + 8 x 10) ms over nine tokens, where ours has 10."""
    result = run(tmp_path, chat(), "--mock", SPEC, env={"AGENTLOCUST_TTFT_AS": "GuideLLM"}).expect(0)
    row = main_row(result)
    assert row["tpot"]["p50"] * 9 >= row["ttft"]["min"] + 8 * 0.010
    assert row["tpot"]["p50"] > row["itl"]["p50"] * 1.15


def test_ours_is_the_default(tmp_path):
    """Gaps between token events, one fewer than tokens."""
    row = main_row(run(tmp_path, chat(), "--mock", SPEC).expect(0))
    assert row["itl"]["count"] == 8 * row["count"]


def test_an_unknown_tool_is_2(tmp_path):
    """Before any load, with what was meant."""
    result = run(tmp_path, chat(), "--ttft-as", "vlm").expect(2)
    assert "--ttft-as: unknown tool 'vlm'" in result.output
    assert "did you mean 'vllm'" in result.output
    assert "Traceback" not in result.output
