"""`agentlocust price` prints a bill whose lines add up, and says where the price comes from."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from click.testing import CliRunner

from agentlocust.cli import main


def bill(*arguments):
    result = CliRunner().invoke(main, ["price", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_prints_the_sum_its_lines_and_the_source():
    """A person sees what each bucket costs and which list says so."""
    text = bill("gpt-4o", "--input", "1000", "--output", "500", "--cached", "200")
    assert "openai.yaml" in text
    assert "checked 2026-11-20" in text
    assert [line.split()[-1] for line in text.splitlines()[1:]] == ["$0.002", "$0.00025", "$0.005", "$0.00725"]


def test_json_lines_add_up_to_the_cost():
    """Dollars are decimal strings, exact."""
    arguments = ("claude-sonnet-4-5", "--input", "1000", "--output", "50", "--cached", "300", "--cache-write", "200")
    document = json.loads(bill(*arguments, "--json"))
    assert sum(Decimal(line["cost_usd"]) for line in document["lines"]) == Decimal(document["cost_usd"])
    assert {line["bucket"]: line["tokens"] for line in document["lines"]} == {
        "input": 500, "cache_read": 300, "cache_write_5m": 200, "output": 50,
    }  # fmt: skip
    assert document["provider"] == "anthropic"


def test_a_tier_has_its_own_price():
    """--tier flex halves gpt-5, and the text says so."""
    text = bill("gpt-5", "--input", "1000000", "--tier", "flex")
    assert "flex tier" in text
    assert "$0.625" in text


def test_a_model_from_genai_prices_says_so():
    """The source of a fallback price is the package and its version."""
    assert "genai-prices 0." in bill("grok-4", "--input", "10")


def test_a_price_file_of_ones_own(tmp_path):
    """--pricing lists a model that nobody else knows."""
    mine = tmp_path / "mine.yaml"
    mine.write_text("provider: me\nmodels: {my-llama: {input: 1, output: 2}}")
    assert "$0.003" in bill("my-llama", "--input", "1000", "--output", "1000", "--pricing", str(mine))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gpt-4o-mni"], "did you mean gpt-4o-mini"),
        (["zzzzzzzz"], "--pricing FILE"),
        (["claude-3-opus", "--tier", "batch"], "no batch price for claude-3-opus (it has: standard"),
        (["gpt-4o", "--input", "5", "--cached", "6"], "6 tokens of cache in 5 of input"),
        (["gpt-4o", "--pricing", "nowhere.yaml"], "no such file"),
    ],
)
def test_what_cannot_be_priced_is_a_clear_error(arguments, message):
    """Exit code 2 and one line that says how to fix it."""
    result = CliRunner().invoke(main, ["price", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
