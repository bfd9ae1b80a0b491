"""The statistics and the files of a roster."""

from __future__ import annotations

import json
import re

from agentlocust.redact import terminal_safe
from agentlocust.roster.members import read_roster
from agentlocust.roster.operations import Event
from agentlocust.roster.outcome import Made, log_line, statistics, write_files

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "two\nlines\r\n2026 SUCCESS agent=forged",
    "=cmd|' /C calc'!A0",
    "a,=1+1",
    "tab\t@SUM(A1)",
    "\u202etxt.exe",
    "zero\u200bwidth\u2028line",
    'quote"d',
    "\x7f\x9b31m",
    "\ud800half",
    "Ωmega-1_é.x",
    "two words",
]


def made(agent: str = "A", number: int = 1, event: Event = Event.SUCCESS, **more) -> Made:
    """An operation that took a tenth of a second."""
    return Made(agent, number, "buy", event, 1_800_000_000_123 + number, 0.1, **more)


def test_figures_add_up():
    """Totals are the sums over agents; shares and times are of what was made."""
    roster = read_roster("A,B", "buy,sell", operations=2)
    failed = made("B", 1, Event.FAILURE, injected=True, reason="injected failure")
    figures = statistics(
        roster,
        [made("A", 1), made("A", 2, Event.MISSING_DATA), failed, made("B", 2, partner="A")],
        seed=5,
        started_ms=1_000,
        ended_ms=3_500,
    )
    totals = figures["totals"]
    assert (totals["operations"], totals["successes"], totals["failures"], totals["missing_data"]) == (4, 2, 1, 1)
    assert (totals["injected_failures"], totals["hand_offs"]) == (1, 1)
    assert (totals["success_share"], totals["missing_data_share"]) == (0.5, 0.25)
    assert figures["complete"]
    assert figures["duration_s"] == 2.5
    assert figures["started"] == "1970-01-01T00:00:01.000Z"
    assert figures["times"]["p99"] == 0.1
    assert figures["agents"]["A"]["tasks"] == {"buy": 2, "sell": 0}
    for key in ("operations", "successes", "failures", "missing_data", "injected_failures", "hand_offs"):
        assert totals[key] == sum(agent[key] for agent in figures["agents"].values())


def test_a_test_that_was_cut_short_says_so():
    """Nothing made is no division by zero and not complete."""
    figures = statistics(read_roster("A", "buy"), [], seed=1, started_ms=0, ended_ms=1)
    assert not figures["complete"]
    assert figures["times"] == {}


def test_the_files_hold_every_event_and_every_success(tmp_path):
    """One line an event in the order of time; the snapshot has the successes of each agent in its own order."""
    roster = read_roster("A,B", "buy", operations=2)
    everything = [made("A", 2), made("B", 1, Event.MISSING_DATA), made("A", 1), made("B", 2, Event.FAILURE)]
    figures = statistics(roster, everything, seed=1, started_ms=0, ended_ms=1)
    write_files(tmp_path / "new", figures, everything)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "agent_memory_snapshot.json",
        "simulation_statistics.json",
        "stress_test_results.log",
    ]
    assert json.loads((tmp_path / "new/simulation_statistics.json").read_text()) == figures
    lines = (tmp_path / "new/stress_test_results.log").read_text().splitlines()
    assert [line.split()[1] for line in lines] == ["SUCCESS", "MISSING_DATA", "SUCCESS", "FAILURE"]
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    memory = json.loads((tmp_path / "new/agent_memory_snapshot.json").read_text())["agents"]
    assert [entry["operation"] for entry in memory["A"]] == [1, 2]
    assert memory["A"][0] | {"operation": 0} == {
        "agent": "A",
        "task": "buy",
        "time": "2027-01-15T08:00:00.124Z",
        "operation": 0,
    }
    assert memory["B"] == []


def test_a_log_line_tells_the_event():
    """What a person greps for is there."""
    line = log_line(made(event=Event.FAILURE, injected=True, reason="injected failure", partner="B"))
    assert line == (
        "2027-01-15T08:00:00.124Z FAILURE agent=A operation=1 task=buy seconds=0.100 handed_to=B "
        'injected=yes reason="injected failure"'
    )


def test_hostile_names_and_reasons_are_harmless(tmp_path):
    """No name starts a line, a cell, a formula or an escape sequence; different names stay different."""
    roster = read_roster(HOSTILE, HOSTILE, operations=1)
    everything = [
        Made(member.name, 1, name, Event.FAILURE, 5, 0.1, partner=name, reason=name)
        for member, name in zip(roster.members, HOSTILE, strict=True)
    ]
    figures = statistics(roster, everything, seed=1, started_ms=0, ended_ms=1)
    write_files(tmp_path, figures, everything)
    for path in tmp_path.iterdir():
        raw = path.read_text("utf-8")
        for line in raw.split("\n"):
            assert terminal_safe(line) == re.sub(r"\s+", " ", line).strip()
    log = (tmp_path / "stress_test_results.log").read_text("utf-8")
    lines = log.split("\n")[:-1]
    assert len(lines) == len(HOSTILE)
    assert not any(set("\t,;'|!@+") & set(line) for line in lines)
    assert all(re.fullmatch(r'\S+Z FAILURE agent=("[^"]*"|\S+) operation=1 task=.*', line) for line in lines)
    assert len({line.split("operation=")[0] for line in lines}) == len(HOSTILE)
    assert set(json.loads((tmp_path / "simulation_statistics.json").read_text())["agents"]) == {
        name.strip() for name in HOSTILE
    }
