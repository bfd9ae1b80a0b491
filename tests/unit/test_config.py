"""Config files: what is read, what is refused, and where the error points."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from agentlocust.config import Document, Duration, Money, Percent, Rate, did_you_mean, load_yaml, parse_yaml, validate
from agentlocust.errors import ConfigError


class Rule(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: Duration
    times: int = 1


class Plan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rules: list[Rule] = []
    named: dict[str, Rule] = {}
    budget: Money = 0
    share: Percent = 0.0
    rate: Rate = 1.0
    either: Rule | str = ""


def test_plain_data_keeps_what_it_looks_like() -> None:
    """Only JSON's own words are special: dates, `no` and numbers with leading zeros stay text."""
    text = "a: 1\nb: 1.5\nc: 1e3\nd: no\ne: 2026-01-01\nf: 007\ng: true\nh: null\ni:\n404: '5'\nj: 0x1F\nk: 12:30"
    assert parse_yaml(text).data == {
        "a": 1, "b": 1.5, "c": 1000.0, "d": "no", "e": "2026-01-01", "f": "007", "g": True, "h": None, "i": None,
        "404": "5", "j": "0x1F", "k": "12:30",
    }  # fmt: skip


def test_json_is_read_too() -> None:
    """A JSON file, tabs and all, is as good as YAML."""
    assert parse_yaml('{"a": [1,\n\t{"b": "\\u00e9"}], "c": null}').data == {"a": [1, {"b": "é"}], "c": None}


def test_where_names_the_line_of_each_value() -> None:
    """A value's place is its file, line and key; a missing one's is its parent's."""
    document = parse_yaml("rules:\n  - after: 1s\n  -\n    after: 2s\n", "plan.yaml")
    assert document.where("rules", 1, "after") == "plan.yaml:4:rules.1.after"
    assert document.where("rules", 0, "gone") == "plan.yaml:2:rules.0.gone"
    assert document.where() == "plan.yaml:1"
    assert Document.of({}, "agent.py:Support.sla").where("check") == "agent.py:Support.sla:check"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"f\.yaml:3:a: duplicate key 'a' \(first on line 1\)"),
        ("a:\n  b: !!python/object/apply:os.system ['true']", r"f\.yaml:2: tags are not allowed"),
        ("a: !custom 1", r"f\.yaml:1: tags are not allowed: !custom"),
        ("!!python/name:os.system : 1", r"f\.yaml:1: tags are not allowed"),
        ("a: 1\n---\nb: 2", r"f\.yaml:2: a second document"),
        ("a: [1\nb: 2", r"f\.yaml:\d: not valid YAML"),
        ("a:\n\tb: 1", r"f\.yaml:2: not valid YAML"),
        ("a: &x [*x]", r"f\.yaml:1: unknown alias \*x"),
        ("? [a]\n: 1", r"f\.yaml:1: a key that is not text"),
        ("a: 1\nb: \x00", r"f\.yaml:2: a character that YAML does not allow"),
        ("a: 1e999", r"f\.yaml:1: 1e999 is too large"),
        ("[" * 100_000, r"f\.yaml:1: nested deeper than 50"),
        ("a: \ud800", r"f\.yaml: not UTF-8"),
        ("a" * 1_000_001, r"f\.yaml: larger than 1 MB"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text: str, message: str) -> None:
    """Each trap of YAML gives one error that names file and line."""
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, "f.yaml")


def test_an_alias_bomb_is_refused_before_it_expands() -> None:
    """A file of a few hundred bytes that stands for a billion values is refused."""
    levels = "abcdefghi"
    bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
    bomb += "".join(f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in pairwise(levels))
    with pytest.raises(ConfigError, match="more than 100,000 values"):
        parse_yaml(bomb)


def test_an_ordinary_alias_is_allowed() -> None:
    """An anchor used twice means the same value, with the line where it is written."""
    document = parse_yaml("a: &a {after: 1s}\nb: *a")
    assert document.data["a"] == document.data["b"]
    assert document.where("b", "after") == "<text>:1:b.after"


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"a: 1\nb: \xff", r"bad\.yaml:2: not UTF-8"), (b"x" * 1_000_001, r"bad\.yaml: larger than 1 MB")],
)
def test_a_file_that_cannot_be_text_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    """Bytes that are not UTF-8, and too many of them, are errors of the file."""
    (tmp_path / "bad.yaml").write_bytes(raw)
    with pytest.raises(ConfigError, match=message):
        load_yaml(tmp_path / "bad.yaml")


def test_a_file_is_read_without_its_byte_order_mark(tmp_path: Path) -> None:
    """What an editor of another system puts first is not part of the first key."""
    (tmp_path / "ok.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert load_yaml(str(tmp_path / "ok.yaml")).data == {"a": 1}


@pytest.mark.parametrize("name", ["gone.yaml", ".", "nul\0", "x" * 5000])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    """A missing file, a directory and a name that cannot be one are all told."""
    with pytest.raises(ConfigError):
        load_yaml(tmp_path / name)


def test_a_valid_document_becomes_its_model() -> None:
    """Values are written as people write them and held in base units."""
    text = "rules: [{after: 1m30s}]\nbudget: $0.02\nshare: 1%\nrate: 90/min\neither: {after: 5s}"
    plan = validate(parse_yaml(text), Plan)
    assert plan == Plan(rules=[Rule(after="90s")], budget="$0.02", share="1%", rate="1.5/s", either=Rule(after="5s"))
    assert (plan.rules[0].after, plan.budget, plan.share, plan.rate) == (90.0, 20_000_000_000, 0.01, 1.5)


def test_every_problem_is_listed_with_its_place() -> None:
    """One error holds all that is wrong, each with file, line and key, and what was meant."""
    text = "rules:\n  - after: 3\n  - aftr: 3s\nnamed:\n  x:\n    after: 1s\n    tims: 2\nbuget: $1\n"
    with pytest.raises(ConfigError) as caught:
        validate(parse_yaml(text, "p.yaml"), Plan)
    assert str(caught.value).splitlines() == [
        "5 problems in p.yaml:",
        "  p.yaml:2:rules.0.after: '3' has no unit (write 3s or 3ms)",
        "  p.yaml:3:rules.1.after: missing key 'after'",
        "  p.yaml:3:rules.1.aftr: unknown key 'aftr' (did you mean 'after'?)",
        "  p.yaml:7:named.x.tims: unknown key 'tims' (did you mean 'times'?)",
        "  p.yaml:8:buget: unknown key 'buget' (did you mean 'budget'?)",
    ]


@pytest.mark.parametrize(("text", "where"), [("", "<text>:1"), ("[1]", "<text>:1"), ("rules: 3", "<text>:1:rules")])
def test_a_document_of_another_shape_is_one_problem(text: str, where: str) -> None:
    """An empty file or a list where a mapping belongs is said plainly."""
    with pytest.raises(ConfigError, match="should be a") as caught:
        validate(parse_yaml(text), Plan)
    assert caught.value.where == where


def test_a_thousand_problems_are_not_all_listed() -> None:
    """The list of problems is bounded."""
    with pytest.raises(ConfigError, match="1000 problems") as caught:
        validate(parse_yaml("rules:\n" + "  - {after: 1s, times: x}\n" * 1000), Plan)
    assert str(caught.value).endswith("… and 980 more")


@given(st.one_of(st.text(), st.text("[]{}:,&*!?|>-'\"# \n\tab1~"), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_any_text_is_data_or_a_config_error(text: str) -> None:
    """No input ends in any other exception, and every error says where."""
    problem = ""
    try:
        validate(parse_yaml(text, "any.yaml"), Plan)
    except ConfigError as error:
        problem = str(error)
    assert not problem or "any.yaml" in problem


def test_did_you_mean_stays_silent_when_nothing_is_near() -> None:
    """A guess is made only for a near miss."""
    assert did_you_mean("latncy", ["latency", "ttft"]) == "did you mean 'latency'?"
    assert did_you_mean("zebra", ["latency", "ttft"]) == ""
