"""A judge's verdict is read from what a model wrote, whatever it wrote."""

from __future__ import annotations

import gc

import pytest

from agentlocust.budget import Budget
from agentlocust.errors import ConfigError
from agentlocust.lifecycle.spending import check_prices
from agentlocust.pricing import PriceBook
from agentlocust.users.judge import Judge, _score_in


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"reason": "good", "score": 0.75}', 0.75),
        ('```json\n{"score": 1}\n```', 1.0),
        ('Here it is: {"score": 0}. Bye', 0.0),
        ('{"score": 7}', None),
        ('{"score": true}', None),
        ('{"score": "0.5"}', None),
        ('{"score": NaN}', None),
        ("0.9", None),
        ('{"score": 0.5', None),
        ("", None),
    ],
)
def test_a_score_is_a_number_from_0_to_1(text: str, score: float | None) -> None:
    """Anything else is none, which fails no run."""
    assert _score_in(text) == score


@pytest.mark.parametrize("host", ["", "api.openai.com", "https://me:secret@api.openai.com"])
def test_a_judge_needs_a_host_of_its_own(host: str) -> None:
    """Told where it is made, not in the middle of a test."""
    with pytest.raises(ConfigError, match="judge_host"):
        Judge("gpt-4o", "Was it right?", judge_host=host)


def test_a_judge_without_a_price_is_refused_under_a_budget_of_the_test() -> None:
    """Nothing could be kept; one of each run's does not hold for it, nor does it matter once nobody has it."""
    prices = PriceBook.load()
    judge = Judge("nobody-knows-9@ttft=1s", "Was it right?", judge_host="mock")
    check_prices(Budget.parse(["$1/run"]), [], prices)
    with pytest.raises(ConfigError, match=r"Judge\.model.*'nobody-knows-9' has no price"):
        check_prices(Budget.parse(["$1"]), [], prices)
    del judge
    gc.collect()
    check_prices(Budget.parse(["$1"]), [], prices)
