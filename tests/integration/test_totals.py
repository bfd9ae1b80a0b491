"""Calls, tokens, tool calls and dollars are exactly what the server knows, in every mode."""

from __future__ import annotations

import pytest

from harness import WAYS, run
from oracle import differences, unaccounted
from sample_locustfiles import AGENTS, AGENTS_SPEC, SLOW_AGENTS, SLOW_SPEC


@pytest.mark.parametrize("way", WAYS)
def test_totals_equal_the_truth(tmp_path, mock_server, way):
    """With a stop timeout that lets calls finish, nothing is missing and nothing is counted twice."""
    server = mock_server(AGENTS_SPEC)
    result = run(tmp_path, AGENTS, "--host", server.url, way=way, users=6).expect(0)
    truth = server.final_truth()
    assert truth["tool_calls"] > 0
    assert all(truth["tokens"][bucket] > 0 for bucket in ("cache_read", "cache_write", "reasoning"))
    assert differences(result.summary, truth) == []


@pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=[] if way == "processes" else [pytest.mark.long], id=way) for way in WAYS],
)
def test_calls_that_the_end_cuts_explain_every_difference(tmp_path, mock_server, way):
    """With a stop timeout too short for the calls, what is missing was cancelled, and says so."""
    server = mock_server(SLOW_SPEC)
    result = run(tmp_path, SLOW_AGENTS, "--host", server.url, way=way, users=6, run_time="3s", stop_timeout="1")
    truth = server.final_truth()
    assert result.summary["totals"]["cancelled"] > 0
    assert unaccounted(result.summary, truth) == []
