"""Built prompts: exact sizes, none alike, prefixes as recorded; and which source wins."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.shapes.dataset import Dataset, Prompts, Row
from agentlocust.shapes.prompts import (
    BLOCK,
    DEFAULT_TOKENS,
    WORDS,
    Prompt,
    PromptSource,
    PromptSpec,
    build_blocks,
    build_prompt,
)
from agentlocust.shapes.trace import Arrival
from agentlocust.tokens import Exactness, TokenCounter, approximate

MODELS = ("gpt-4o-mini", "gpt-4")  # o200k_base and cl100k_base
COUNTER = TokenCounter()


def counts(text: str) -> set[tuple[int, Exactness]]:
    """What both encodings count."""
    return {COUNTER.count(text, model) for model in MODELS}


def source(prompt_tokens: str = "", output_tokens: str = "", *rows: Row) -> PromptSource:
    """A source of this spec, and of a dataset when it has rows."""
    prompts = Prompts(rows, "in-order", "0") if rows else None
    return PromptSource(PromptSpec.parse(prompt_tokens, output_tokens), prompts, seed=1)


def test_every_word_is_one_token_wherever_it_stands() -> None:
    """The promise that exact sizes rest on, in both encodings, and no word twice."""
    assert len(set(WORDS)) == len(WORDS)
    for word in WORDS:
        for text in (word, f" {word}"):
            assert counts(text) == {(1, Exactness.EXACT)}, text
    assert counts(".\n") == {(1, Exactness.EXACT)}


@given(st.integers(1, 5000), st.integers())
def test_a_prompt_has_exactly_the_tokens_asked_for(tokens: int, seed: int) -> None:
    """By either encoding, and by the estimate that stands in for them without ranks."""
    text = build_prompt(tokens, random.Random(seed))
    assert counts(text) == {(tokens, Exactness.EXACT)}
    assert approximate(text) == tokens
    assert text == text.strip()


def test_a_very_long_prompt_is_exact_too() -> None:
    """Also where it is counted in several pieces."""
    assert counts(build_prompt(100_000, random.Random(1))) == {(100_000, Exactness.EXACT)}


def test_no_two_prompts_are_alike() -> None:
    """From some ten tokens on; nor do they begin with the same line. The same seed gives the same."""
    rng = random.Random(1)
    assert len({build_prompt(12, rng) for _ in range(2000)}) == 2000
    assert len({build_prompt(512, rng).partition("\n")[0] for _ in range(2000)}) == 2000
    assert build_prompt(300, random.Random(5)) == build_prompt(300, random.Random(5))
    assert build_prompt(0, rng)


@given(
    st.lists(st.integers(0, 2**63 - 1), max_size=4),
    st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3),
    st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3),
)
def test_prompts_that_share_blocks_share_their_text(shared: list[int], one: list[int], other: list[int]) -> None:
    """Whole blocks in common are the same text, and what differs differs at once."""
    first, second = (
        build_blocks([*shared, *own], BLOCK * (len(shared) + len(own)), random.Random(number), 3)
        for number, own in enumerate((one, other))
    )
    same = len(build_prompt(BLOCK, random.Random(0))) + 1
    assert first[: same * len(shared)] == second[: same * len(shared)]
    if one[0] != other[0]:
        assert first[same * len(shared) :][:60] != second[same * len(shared) :][:60]


@pytest.mark.parametrize("tokens", [1, 15, 16, 511, 512, 513, 600, 1024, 1100, 1536, 3000])
def test_blocks_make_exactly_the_tokens_recorded(tokens: int) -> None:
    """Whether the blocks reach too far, just so or not far enough."""
    text = build_blocks([7, 8, 9], tokens, random.Random(1), 0)
    assert counts(text) == {(tokens, Exactness.EXACT)}
    assert approximate(text) == tokens
    again = build_blocks([7, 8, 9], tokens, random.Random(2), 0)
    assert (text == again) == (tokens <= 3 * BLOCK)
    assert build_blocks([7, 8, 9], tokens, random.Random(1), 1) != text


def test_a_block_is_the_same_in_every_process() -> None:
    """Workers on other machines must send the same beginnings."""
    program = "import random; from agentlocust.shapes.prompts import build_blocks as b; print(b([42], 512, random, 9))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == build_blocks([42], 512, random.Random(), 9) + "\n"


def test_sizes_are_constants_or_distributions() -> None:
    """Each prompt's size is drawn, at least 1, and the prompt knows it."""
    asked = source("uniform(100,900)", "lognormal(60,0.3)")
    prompts = [asked.prompt(random.Random(seed)) for seed in range(100)]
    sizes = [prompt.input_tokens or 0 for prompt in prompts]
    assert 100 <= min(sizes) < 250
    assert 750 < max(sizes) <= 900
    assert all(approximate(prompt) == prompt.input_tokens for prompt in prompts)
    assert len({prompt.output_tokens for prompt in prompts}) > 20
    assert source("2k", "5").prompt(random.Random(0)).input_tokens == 2000
    tiny = source("uniform(0,1)").prompt(random.Random(3))
    assert (tiny.input_tokens, tiny.output_tokens) == (1, None)
    huge = source("", "exponential(1M)")
    assert max(huge.prompt(random.Random(seed)).output_tokens or 0 for seed in range(50)) == 1_000_000


@pytest.mark.parametrize(
    "text", ["many", "20ms", "-5", "0", "uniform(900,100)", "lognormal(5)", "2M", "poisson(3)", "("]
)
def test_a_bad_size_is_refused_by_its_option(text: str) -> None:
    """The message names the option and speaks of tokens."""
    for spec, option in (((text, ""), "--prompt-tokens"), (("", text), "--output-tokens")):
        with pytest.raises(ConfigError) as error:
            PromptSpec.parse(*spec)
        assert error.value.where == option
        assert "uniform(100,900)" in error.value.hint


def test_nothing_asked_for_is_a_prompt_of_a_usual_size() -> None:
    """A locustfile that asks for prompts works without any option; what is unknown is None."""
    prompt = source().prompt(random.Random(1))
    assert (approximate(prompt), prompt.input_tokens) == (DEFAULT_TOKENS, DEFAULT_TOKENS)
    assert prompt.output_tokens is None
    assert prompt.messages is None


def test_a_prompt_is_a_string() -> None:
    """It goes wherever text goes."""
    prompt = Prompt("Why?", output_tokens=5)
    assert prompt == "Why?"
    assert isinstance(prompt, str)
    assert (prompt.input_tokens, prompt.output_tokens) == (None, 5)


def test_a_trace_gives_sizes_blocks_and_texts() -> None:
    """What was recorded is what is asked; an empty prompt still holds a word."""
    rng = random.Random(1)
    sized = source().prompt(rng, Arrival(0, 700, 20))
    assert (approximate(sized), sized.input_tokens, sized.output_tokens) == (700, 700, 20)
    one, other = (source().prompt(random.Random(seed), Arrival(0, 600, None, (1, 2))) for seed in (1, 2))
    assert one == other
    assert one.output_tokens is None
    told = source().prompt(rng, Arrival(0, None, 3, (), "Where is order 42?"))
    assert (str(told), told.input_tokens, told.output_tokens) == ("Where is order 42?", None, 3)
    assert source().prompt(rng, Arrival(0, 0, 3)).input_tokens == 1


def test_what_was_asked_for_wins_over_what_was_recorded() -> None:
    """`--prompt-tokens` and `--output-tokens` replace a trace's sizes."""
    start = Arrival(0, 700, 20, (1, 2), "recorded")
    prompt = source("50", "9").prompt(random.Random(1), start)
    assert (approximate(prompt), prompt.output_tokens) == (50, 9)
    assert source("", "9").prompt(random.Random(1), start).output_tokens == 9
    assert source("50").prompt(random.Random(1), start).output_tokens == 20


def test_a_dataset_gives_the_text_and_its_output_first() -> None:
    """Its own output, else the trace's, unless one was asked for; conversations come whole."""
    rows = (Row("a", 5), Row("b"), Row("c", 0, '[{"role":"user","content":"b"},{"role":"user","content":"c"}]'))
    rng, start = random.Random(1), Arrival(0, 700, 20)
    plain = source("", "", *rows)
    found = [plain.prompt(rng, start) for _ in rows]
    assert [(str(prompt), prompt.output_tokens) for prompt in found] == [("a", 5), ("b", 20), ("c", 20)]
    assert found[2].messages == [{"role": "user", "content": "b"}, {"role": "user", "content": "c"}]
    assert source("", "9", *rows).prompt(rng, start).output_tokens == 9
    with pytest.raises(ConfigError, match="their own sizes"):
        source("50", "", *rows)


def test_the_dataset_decodes_into_a_source() -> None:
    """From the master's part to a user's prompt."""
    part = Dataset("x", [Row("one"), Row("two", 4)], "in-order").part(1, 2)
    prompt = PromptSource(dataset=Prompts.decode(part)).prompt(random.Random(1))
    assert (str(prompt), prompt.output_tokens) == ("two", 4)
