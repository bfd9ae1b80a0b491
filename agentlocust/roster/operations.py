"""One operation of an agent: drawn from the test's seed, then carried out the same way by every driver."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from agentlocust.roster.members import Member, Roster

INJECTED = "injected failure"


class Event(StrEnum):
    """How an operation ended. Missing data is neither a success nor a failure of the target."""

    SUCCESS = "success"
    FAILURE = "failure"
    MISSING_DATA = "missing_data"


EVENTS = tuple(Event)


@dataclass(frozen=True, slots=True)
class Operation:
    """What an agent is to do, and what it is to meet: `number` counts its operations from 1.

    `planned` is how it ends if the target does not fail by itself; `delay_s` is how long the look-up
    takes; `partner` is the agent it hands off to, "" for none.
    """

    agent: str
    number: int
    task: str
    planned: Event
    delay_s: float
    partner: str = ""
    model: str = ""


class OperationFailed(Exception):
    """The target failed an operation: why, in one line. `injected`: a fault of the test's plan made it fail."""

    injected = False


class Tool(Protocol):
    """A tool call under way."""

    result: Any

    def fail(self, why: str) -> None:
        """The tool did not work."""


class Hands(Protocol):
    """What an agent does its work with: one implementation a driver."""

    def tool(self, name: str) -> AbstractContextManager[Tool]:
        """A tool call named so."""

    def wait(self, seconds: float) -> None:
        """What is worked on takes that long to answer."""

    def look_up(self, operation: Operation) -> Any:
        """The data that the task needs."""

    def decide(self, operation: Operation, data: Any) -> Any:
        """Ask the model. Raises OperationFailed when it does not answer."""

    def hand_off(self, operation: Operation, decision: Any) -> Any:
        """Have the partner decide too. Raises OperationFailed."""

    def act(self, operation: Operation, decision: Any) -> Any:
        """Do what was decided. Raises OperationFailed."""


def draw(roster: Roster, agent: int, number: int, seed: int | str) -> Operation:
    """Operation `number` (from 1) of the roster's agent: a function of seed, agent and number alone.

    Agents, users, workers and the order in which they work change nothing of it.
    """
    member = roster.members[agent]
    rng = random.Random(f"{seed}/{member.name}/{number}")
    chance = rng.random()
    if chance < roster.missing_data:
        planned = Event.MISSING_DATA
    else:
        planned = Event.FAILURE if chance < roster.missing_data + roster.failure else Event.SUCCESS
    task = rng.choices(list(member.tasks), list(member.tasks.values()))[0]
    delay_s = rng.uniform(roster.min_delay, roster.max_delay)
    return Operation(member.name, number, task, planned, delay_s, _partner(roster, member, task), member.model)


def _partner(roster: Roster, member: Member, task: str) -> str:
    partner = member.hand_offs.get(task, "")
    return partner if partner != member.name and any(other.name == partner for other in roster.members) else ""


def perform(operation: Operation, hands: Hands) -> Event:
    """Look up, decide, hand off, act. Raises OperationFailed for what was not planned.

    Data that is missing ends the operation before the model is asked: the agent has nothing to decide on.
    """
    with hands.tool("look_up") as tool:
        hands.wait(operation.delay_s)
        data = tool.result = None if operation.planned is Event.MISSING_DATA else hands.look_up(operation)
    if data is None:
        return Event.MISSING_DATA
    decision = hands.decide(operation, data)
    if operation.partner:
        decision = hands.hand_off(operation, decision)
    with hands.tool(operation.task) as tool:
        if operation.planned is Event.FAILURE:
            tool.fail(INJECTED)
            return Event.FAILURE
        tool.result = hands.act(operation, decision)
    return Event.SUCCESS
