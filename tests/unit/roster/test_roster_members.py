"""Who is on a roster, and what is refused."""

from __future__ import annotations

import math

import pytest

from agentlocust.errors import ConfigError
from agentlocust.roster.members import LONGEST_NAME, Member, Names, read_roster


def test_names_between_commas_are_agents_with_every_task():
    """A name nobody described does all tasks, equally often."""
    roster = read_roster("A, B", "buy,sell", operations=7)
    assert [member.name for member in roster.members] == ["A", "B"]
    assert roster.members[0].tasks == {"buy": 1.0, "sell": 1.0}
    assert roster.total == 14


def test_a_known_agent_keeps_what_is_known_of_it():
    """Of its own tasks those are left that the test has."""
    known = Member("A", tasks={"buy": 3, "hedge": 1}, weight=2, model="m", hand_offs={"buy": "B"})
    first, second = read_roster("A,B", "buy,sell", known=[known]).members
    assert (first.tasks, first.weight, first.model, first.hand_offs) == ({"buy": 3.0}, 2, "m", {"buy": "B"})
    assert second == Member("B", tasks={"buy": 1.0, "sell": 1.0})


def test_arguments_may_be_lists_members_and_weights():
    """The function takes what Python programs have at hand."""
    roster = read_roster([Member("A", weight=3), "B"], {"buy": 2, "sell": 0.5})
    assert roster.members[0].tasks == roster.members[1].tasks == {"buy": 2.0, "sell": 0.5}


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"agents": ""}, "agents"),
        ({"agents": "A,,B"}, "agents"),
        ({"agents": "A,A"}, "agents"),
        ({"agents": []}, "agents"),
        ({"agents": "A" * (LONGEST_NAME + 1)}, "agents"),
        ({"agents": [Member("A", weight=0)]}, "agents"),
        ({"agents": [Member("A", weight=math.nan)]}, "agents"),
        ({"agents": [Member("A", tasks={"hedge": 1})]}, "tasks"),
        ({"agents": [Member("A", tasks={"buy": 0})]}, "tasks"),
        ({"agents": [3]}, "agents"),
        ({"tasks": " , "}, "tasks"),
        ({"tasks": "buy,buy"}, "tasks"),
        ({"tasks": {"buy": 0}}, "tasks"),
        ({"tasks": {"buy": -1}}, "tasks"),
        ({"operations": 0}, "operations"),
        ({"operations": True}, "operations"),
        ({"operations": 10**9}, "operations"),
        ({"min_delay": 0.2, "max_delay": 0.1}, "min_delay"),
        ({"min_delay": -1}, "min_delay"),
        ({"max_delay": math.inf}, "max_delay"),
        ({"missing_data": 1.1}, "missing"),
        ({"failure": math.nan}, "failure"),
        ({"missing_data": 0.6, "failure": 0.5}, "failure"),
    ],
)
def test_what_makes_no_test_is_refused_with_its_place(settings, where):
    """Every mistake is a ConfigError that names the setting."""
    with pytest.raises(ConfigError) as refused:
        read_roster(**{"agents": "A", "tasks": "buy", **settings})
    assert where in refused.value.where


def test_messages_name_the_options_where_options_were_given():
    """Somebody who wrote `--operations 0` reads `--operations`."""
    with pytest.raises(ConfigError, match="--operations"):
        read_roster("A", "buy", operations=0, names=Names(operations="--operations"))
