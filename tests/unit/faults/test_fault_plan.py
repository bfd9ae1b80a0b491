"""The grammar of `--faults`: what is understood, what is refused, and that a plan survives its own text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.faults.catalogue import FAULTS
from agentlocust.faults.describe import faults_markdown, list_text, one_text
from agentlocust.faults.fault import Group
from agentlocust.faults.injection import Asked
from agentlocust.faults.plan import FaultPlan
from agentlocust.faults.scenarios import SCENARIOS

ROOM = Path(__file__).parents[3] / "agentlocust" / "faults"


def one(text: str):
    """The only rule of a line."""
    (rule,) = FaultPlan.parse(text).rules
    return rule


def test_a_rule_has_keys_windows_a_share_and_calls():
    """Everything that the grammar has, in one rule."""
    rule = one("cut(after=3)@10s-20s@spike:5%{name=ref*;user=0-4}")
    assert (rule.fault.name, rule.values["after"], rule.share) == ("cut", 3, 0.05)
    assert [(window.start_s, window.end_s, window.phase) for window in rule.windows[:1]] == [(10, 20, "")]
    assert rule.windows[1].phase == "spike"
    chosen = Asked(15, name="refund", user=4, dialect="anthropic")
    assert rule.covers(chosen)
    assert not rule.covers(Asked(25, name="refund", dialect="anthropic"))
    assert rule.covers(Asked(25, phase="spike", name="refund", dialect="anthropic"))
    assert not rule.covers(Asked(15, name="refund", user=5, dialect="anthropic"))
    assert not rule.covers(Asked(15, name="order", user=4, dialect="anthropic"))


@pytest.mark.parametrize("window", ["30s-", "-60s", "0-60s", "1m-1h30m", "30s-60s"])
def test_windows_may_be_open(window):
    """A window without an end lasts to the end of the test, one without a start from its start."""
    assert one(f"cut()@{window}").windows[0].holds(59 if window[0] in "-03" else 61, "")


def test_a_name_alone_is_the_scenario():
    """Where a fault and a scenario share a name, parentheses or a share mean the fault."""
    assert one("rate_limit").share == 0.3
    assert one("rate_limit@10s-20s").share == 0.3
    assert one("rate_limit()").share == 1
    assert one("rate_limit:50%").share == 0.5
    assert one("timeout").values["limit"] == 0.1
    assert one("timeout()").values["limit"] == 0


def test_windows_and_calls_of_a_scenario_win_over_its_own():
    """An outage is when and for whom one says."""
    rule = one("outage@5s-6s{name=a}")
    assert (rule.windows[0].start_s, rule.only[0].text) == (5, "a")
    assert one("outage").windows[0].start_s == 30


@pytest.mark.parametrize("name", [*FAULTS, *SCENARIOS])
def test_every_fault_and_scenario_is_understood_and_told(name):
    """With its defaults, from its own text, and in the command's output."""
    line = f"{name}()" if name in FAULTS else name
    plan = FaultPlan.parse(line)
    assert plan
    assert FaultPlan.parse(plan.text) == plan
    assert name in one_text(name)
    assert name in list_text()
    assert f"`{name}`" in faults_markdown()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cutt()", "did you mean 'cut'"),
        ("cut(aftr=1)", "did you mean 'after'"),
        ("cut(after=x)", "--faults: cut.after"),
        ("cut(after)", "is not key=value"),
        ("cut(after=1,after=2)", "given twice"),
        ("cut(after=1", "no closing ')'"),
        ("cut{name=a", "no closing '}'"),
        ("cut:0%", "not a share"),
        ("cut:5", "write 5%"),
        ("cut:5%:6%", "two shares"),
        ("cut:", "without a number"),
        ("cut@20s-10s", "ends before it begins"),
        ("cut@30s", "until when"),
        ("cut@", "no window"),
        ("cut{nam=a}", "did you mean 'name'"),
        ("cut{user=x}", "no number of a user"),
        ("cut{user=5-2}", "no number of a user"),
        ("cut!", "after the fault come"),
        ("5%", "does not begin with a fault"),
        ("outage(for=3s)", "is a scenario"),
        ("outage:5%", "is a scenario"),
        ("clock_skew():5%", "takes no share"),
        ("disk_full(){name=a}", "takes no {}"),
        ("latency(delay=2d)", "longer than a day"),
        ("latency(delay=5)", "write 5s"),
        ("overloaded(status=500)", "one of 0, 503, 529"),
        ("cut()," * 300, "at most 200"),
        ("cut()," * 9000, "use a file"),
    ],
)
def test_nonsense_is_refused_with_a_hint(text, words):
    """Each message names the place and the way out."""
    with pytest.raises(ConfigError) as raised:
        FaultPlan.parse(text)
    assert words in str(raised.value)
    assert "--faults" in raised.value.where


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_text_is_a_crash(text):
    """Whatever stands there is a plan or a ConfigError."""
    try:
        plan = FaultPlan.parse(text)
    except ConfigError:
        return
    assert FaultPlan.parse(plan.text) == plan


RULES = st.builds(
    lambda name, after, window, share, user: f"{name}({after}){window}{share}{user}",
    st.sampled_from([name for name, fault in FAULTS.items() if fault.group is not Group.LOCAL and not fault.keys]),
    st.just(""),
    st.sampled_from(["", "@30s-60s", "@1m-", "@spike", "@10 users (ramp)@1s-2s"]),
    st.sampled_from(["", ":5%", ":0.5%", ":100%"]),
    st.sampled_from(["", "{user=3}", "{user=0-9;name=a b*}", "{path=/v1/*}"]),
)


@settings(deadline=None)
@given(st.lists(RULES, min_size=1, max_size=5), st.sampled_from([", ", ";", ",,"]))
def test_a_plan_survives_its_own_text(rules, separator):
    """What travels to the workers is the plan that was given."""
    plan = FaultPlan.parse(separator.join(rules))
    assert len(plan.rules) == len(rules)
    assert FaultPlan.parse(plan.text) == plan


def test_a_file_says_the_same_as_a_line(tmp_path):
    """Lines and mappings in YAML become one line."""
    path = tmp_path / "plan.yaml"
    path.write_text(
        "faults:\n"
        "- rate_limit(rps=5)@30s-60s\n"
        "- {fault: cut, after: 10, share: 5%, phase: spike, only: {name: refund}}\n"
        "- {scenario: outage, window: [60s-70s, 90s-100s]}\n"
    )
    line = "rate_limit(rps=5)@30s-60s, cut(after=10)@spike:5%{name=refund}, outage@60s-70s@90s-100s"
    assert FaultPlan.parse(str(path)) == FaultPlan.parse(line)


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("- {fault: cut, aftr: 1}", ":1:0", "did you mean 'after'"),
        ("- cut(\n", ":1:0", "no closing"),
        ("plan: []", ":1:plan", "under faults"),
        ("- {cut: 1}", ":1:0", "not a fault"),
        ("- {fault: cut, after: 1}\n- {fault: latency, delay: 'a;b'}", ":2:1.delay", "cannot be"),
        ("- {scenario: outage, share: 5%}", ":1:0.share", "has no key"),
        ("- {fault: cut, only: refund}", ":1:0.only", "not the calls"),
        ("- {fault: cut, window: 20s-10s}", ":1:0.window", "ends before"),
    ],
)
def test_a_file_s_errors_name_their_line(tmp_path, text, where, words):
    """File, line and key."""
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        FaultPlan.parse(str(path))
    assert where in raised.value.where
    assert words in str(raised.value)


def test_the_room_s_readme_tells_of_every_fault():
    """Its tables are those that the code makes."""
    assert faults_markdown() in (ROOM / "README.md").read_text()


def test_each_fault_has_a_file_of_its_own():
    """Small enough to read at once."""
    for name in FAULTS:
        assert 5 < len((ROOM / f"{name}.py").read_text().splitlines()) <= 100


def test_what_is_wrong_with_the_process_at_a_moment():
    """Local faults add up within their windows and are told apart from those of calls."""
    plan = FaultPlan.parse("clock_skew(jump=5m)@1s-3s, clock_skew(jump=-1m)@2s-, disk_full()@spike, cut()")
    assert plan.local(0, "").skew_s == 0
    assert plan.local(2.5, "").skew_s == 240
    assert plan.local(9, "spike").disk_full
    assert not plan.local(0.5, "main")
