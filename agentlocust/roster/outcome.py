"""What came of a roster's operations: the statistics, and the three files that hold them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentlocust.report.files import write_text_atomically
from agentlocust.roster.members import Roster
from agentlocust.roster.operations import Event

STATISTICS = "simulation_statistics.json"
LOG = "stress_test_results.log"
SNAPSHOT = "agent_memory_snapshot.json"


@dataclass(frozen=True, slots=True)
class Made:
    """One operation that has ended. `at_ms` is when (Unix milliseconds), `took_s` how long it took.

    `reason` says why it failed; a failure that was not `injected` is the target's own.
    """

    agent: str
    number: int
    task: str
    event: Event
    at_ms: int
    took_s: float
    injected: bool = False
    partner: str = ""
    reason: str = ""


def statistics(
    roster: Roster, made: Iterable[Made], *, seed: int | str, started_ms: int, ended_ms: int
) -> dict[str, Any]:
    """The test in numbers, as plain data for JSON: totals, times in seconds, the same for each agent."""
    by_agent: dict[str, list[Made]] = {member.name: [] for member in roster.members}
    for one in made:
        by_agent[one.agent].append(one)
    everything = [one for ones in by_agent.values() for one in ones]
    settings = asdict(roster)
    members = settings.pop("members")
    return {
        "schema": 1,
        "started": _time(started_ms),
        "ended": _time(ended_ms),
        "duration_s": round(max(ended_ms - started_ms, 0) / 1000, 3),
        "complete": len(everything) == roster.total,
        "seed": seed,
        "settings": {
            "agents": [member["name"] for member in members],
            "tasks": list(dict.fromkeys(task for member in members for task in member["tasks"])),
            "operations_per_agent": settings.pop("operations"),
            **settings,
        },
        "totals": _totals(everything),
        "times": _times(everything),
        "agents": {
            member["name"]: {
                "model": member["model"],
                "weight": member["weight"],
                **_totals(by_agent[member["name"]]),
                "tasks": _by_task(member["tasks"], by_agent[member["name"]]),
                "times": _times(by_agent[member["name"]]),
            }
            for member in members
        },
    }


def write_files(directory: str | Path, figures: dict[str, Any], made: Sequence[Made]) -> None:
    """Write the three files, each whole or not at all. Raises OSError."""
    folder = Path(directory)
    in_time = sorted(made, key=lambda one: (one.at_ms, one.agent, one.number))
    write_text_atomically(folder / LOG, "".join(f"{log_line(one)}\n" for one in in_time))
    write_text_atomically(folder / SNAPSHOT, _json(snapshot(figures, made)))
    write_text_atomically(folder / STATISTICS, _json(figures))


def snapshot(figures: dict[str, Any], made: Iterable[Made]) -> dict[str, Any]:
    """What each agent remembers: its successes, in the order of its operations."""
    memory: dict[str, list[dict[str, Any]]] = {name: [] for name in figures["agents"]}
    for one in sorted(made, key=lambda one: one.number):
        if one.event is Event.SUCCESS:
            entry = {"agent": one.agent, "task": one.task, "time": _time(one.at_ms), "operation": one.number}
            memory[one.agent].append(entry | ({"handed_to": one.partner} if one.partner else {}))
    return {"schema": 1, "seed": figures["seed"], "agents": memory}


def log_line(one: Made) -> str:
    """One event on one line, safe in a terminal and in a spreadsheet whatever its names hold."""
    told = [
        _time(one.at_ms),
        one.event.upper(),
        f"agent={_word(one.agent)}",
        f"operation={one.number}",
        f"task={_word(one.task)}",
        f"seconds={one.took_s:.3f}",
    ]
    if one.partner:
        told.append(f"handed_to={_word(one.partner)}")
    if one.event is Event.FAILURE:
        told += [f"injected={'yes' if one.injected else 'no'}", f"reason={_word(one.reason or 'failed')}"]
    return " ".join(told)


def _word(text: str) -> str:
    r"""The text with all but letters, digits and `_-.` written as \uXXXX; quoted where it has spaces."""
    safe = "".join(
        char
        if char.isalnum() or char in "_-. "
        else f"\\u{ord(char):04x}"
        if ord(char) < 65536
        else f"\\U{ord(char):08x}"
        for char in text
    )
    return f'"{safe}"' if " " in safe or not safe else safe


def _json(data: dict[str, Any]) -> str:
    # ASCII only: a terminal that shows the file obeys nothing in it.
    return json.dumps(data, indent=2).replace("\x7f", "\\u007f") + "\n"


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _totals(made: Sequence[Made]) -> dict[str, Any]:
    events = Counter(one.event for one in made)
    number = len(made)
    return {
        "operations": number,
        "successes": events[Event.SUCCESS],
        "failures": events[Event.FAILURE],
        "injected_failures": sum(one.injected for one in made),
        "missing_data": events[Event.MISSING_DATA],
        "hand_offs": sum(bool(one.partner) for one in made),
        "success_share": _share(events[Event.SUCCESS], number),
        "failure_share": _share(events[Event.FAILURE], number),
        "missing_data_share": _share(events[Event.MISSING_DATA], number),
    }


def _by_task(tasks: Iterable[str], made: Sequence[Made]) -> dict[str, int]:
    counts = Counter(one.task for one in made)
    return {task: counts[task] for task in tasks}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def _times(made: Sequence[Made]) -> dict[str, float]:
    """Seconds that operations took; percentiles are values that occurred (nearest rank)."""
    took = sorted(one.took_s for one in made)
    if not took:
        return {}
    ranked = {f"p{p}": took[max(math.ceil(len(took) * p / 100), 1) - 1] for p in (50, 90, 95, 99)}
    found = {"mean": math.fsum(took) / len(took), "min": took[0], "max": took[-1], **ranked, "sum": math.fsum(took)}
    return {name: round(value, 6) for name, value in found.items()}
