"""Prompts built to a size: harmless words that make exactly so many tokens, and no two alike.

Every word here is one token in o200k_base and cl100k_base, at the start of a line and after a space, and so is
the full stop with its line end; so a text's tokens are counted by making it, without any ranks. A line is 15 words
of 48 letters in all and makes 16 tokens in 64 characters, so that a count of four characters a token agrees.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Self

from agentlocust.errors import ConfigError
from agentlocust.mock.distributions import Distribution, parse_distribution
from agentlocust.shapes.dataset import Prompts
from agentlocust.shapes.trace import Arrival
from agentlocust.shapes.trace_formats import MAX_TOKENS
from agentlocust.units import parse_number

BLOCK = 512  # tokens of a trace's block
DEFAULT_TOKENS = 512
LINE = 16  # tokens of a line
CLAUSES = 4096

WORDS = """
in on at or an he is it as if of me so to we up no do go be by my
the out age act ask air own add set new old son let few day use key art our and for are all one how now see has him
his but can car far ten two six cup tea sea sun sky ran run sit hat bag box bed map pen pin cap job law lay low
hot ago won dry dog cat cow fox owl fly buy try joy boy may say pay ray way red big bus got get put men her was
that this from have your will more part they over time work else also some like name need just been them what were
into make than back only form look most find help want long read test know well then very best case good down high
even real many much said used here play item last text does home such take view size show week book made open line
next life care same main must side land talk term card ever cook face city hold stay news song tour nice note upon
feed safe late flow ball deep hair wish cool tree wide band town foot five bank fill door draw seen walk pick wait
about which other there would first start under every right these where after could while years great world think
again point place found order state those local style still month going build offer color level field small table
three water power group count short light times along begin house heart young watch green piece scale carry
people person should number before system follow always change little better school review family simple output
answer center inside almost office choice matter ground nature region photos levels bottom spring winter bright
between country another project message present through station support teacher weather
""".split()
_SHAPES = ((3, 3, 3, 3, 4), (2, 3, 3, 4, 4), (2, 2, 3, 4, 5), (2, 2, 3, 3, 6), (2, 2, 2, 3, 7), (2, 3, 3, 3, 5))


class Prompt(str):
    """A text to ask with, which knows how long its reply should be and how long it is itself, in tokens.

    None is unknown. `messages` is the whole conversation to send, when the dataset had more than this last turn.
    """

    __slots__ = ("input_tokens", "messages", "output_tokens")

    input_tokens: int | None
    output_tokens: int | None
    messages: list[dict[str, str]] | None

    def __new__(
        cls,
        text: str,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        messages: list[dict[str, str]] | None = None,
    ) -> Self:
        """The text with what is known of it."""
        prompt = super().__new__(cls, text)
        prompt.input_tokens = input_tokens
        prompt.output_tokens = output_tokens
        prompt.messages = messages
        return prompt


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """The sizes that were asked for, in tokens; None where none was."""

    input: Distribution | None = None
    output: Distribution | None = None

    @classmethod
    def parse(cls, prompt_tokens: str = "", output_tokens: str = "") -> PromptSpec:
        """The spec from `--prompt-tokens` and `--output-tokens`, "" when not given. Raises ConfigError."""
        return cls(_sizes(prompt_tokens, "--prompt-tokens"), _sizes(output_tokens, "--output-tokens"))


@dataclass(frozen=True, slots=True)
class PromptSource:
    """Where a worker's prompts come from. A size that was asked for wins over one that was recorded.

    The text is the dataset's, else the trace's own, else built. Raises ConfigError for a dataset
    together with a size of prompts, which would have to be cut.
    """

    spec: PromptSpec = PromptSpec()
    dataset: Prompts | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dataset is not None and self.spec.input is not None:
            what = "a dataset's prompts have their own sizes"
            raise ConfigError(what, where="--prompt-tokens", hint="leave out --dataset or --prompt-tokens")

    def prompt(self, rng: random.Random, start: Arrival | None = None) -> Prompt:
        """The prompt of the next task; `start` is the trace's arrival that it answers."""
        output = start.output if start is not None else None
        if self.dataset is not None:
            row = self.dataset.next(rng)
            messages = json.loads(row.messages) if row.messages else None
            return Prompt(row.text, output_tokens=self._output(rng, row.output or output), messages=messages)
        if self.spec.input is not None:
            tokens = _draw(self.spec.input, rng)
            return Prompt(build_prompt(tokens, rng), input_tokens=tokens, output_tokens=self._output(rng, output))
        if start is not None and start.prompt:
            return Prompt(start.prompt, input_tokens=start.input, output_tokens=self._output(rng, output))
        tokens = max(1, start.input) if start is not None and start.input is not None else DEFAULT_TOKENS
        text = build_blocks(start.blocks if start is not None else (), tokens, rng, self.seed)
        return Prompt(text, input_tokens=tokens, output_tokens=self._output(rng, output))

    def _output(self, rng: random.Random, recorded: int | None) -> int | None:
        return _draw(self.spec.output, rng) if self.spec.output is not None else recorded


def build_prompt(tokens: int, rng: random.Random) -> str:
    """A text of so many tokens, at least 1. From some ten tokens on, no two are alike."""
    return _text(max(1, tokens), rng).removesuffix("\n")


def build_blocks(blocks: Sequence[int], tokens: int, rng: random.Random, seed: int) -> str:
    """A text of so many tokens, at least 1, that begins with these blocks; what they leave open is the text's own.

    The same `seed` and ids give the same beginning, in every process.
    """
    tokens = max(1, tokens)
    parts = [
        _block(seed, block, min(BLOCK, tokens - at * BLOCK)) for at, block in enumerate(blocks[: -(-tokens // BLOCK)])
    ]
    rest = tokens - len(parts) * BLOCK
    if rest > 0:
        parts.append(_text(rest, rng))
    return "".join(parts).removesuffix("\n")


@lru_cache(maxsize=4096)  # 2 KB each
def _block(seed: int, block: int, tokens: int) -> str:
    return _text(tokens, random.Random(f"{seed}:{block}"))


def _text(tokens: int, rng: random.Random) -> str:
    lines, tail = divmod(tokens, LINE)
    said = rng.choices(_clauses(), k=3 * lines)
    text = "".join([f"{a} {b} {c}.\n" for a, b, c in zip(said[0::3], said[1::3], said[2::3], strict=True)])
    return text + " ".join(rng.choices(_words(3), k=tail)) if tail else text


@cache
def _clauses() -> list[str]:
    """Clauses of 5 words and 16 letters, the same in every process."""
    rng = random.Random(0)
    return [
        " ".join(rng.choice(_words(size)) for size in rng.sample(shape, k=5))
        for shape in rng.choices(_SHAPES, k=CLAUSES)
    ]


@cache
def _words(letters: int) -> list[str]:
    return [word for word in WORDS if len(word) == letters]


def _draw(sizes: Distribution, rng: random.Random) -> int:
    return min(max(1, sizes.draw_int(rng)), MAX_TOKENS)


def _sizes(text: str, option: str) -> Distribution | None:
    if not text.strip():
        return None
    hint = "write 512, uniform(100,900), normal(500,50), lognormal(512,0.3) or exponential(512)"
    try:
        found = parse_distribution(text, parse_number)
    except ConfigError as error:
        raise ConfigError(error.what, where=option, hint=hint) from None
    if max(found.a, found.b) > MAX_TOKENS:
        raise ConfigError(f"{text} is over a million tokens", where=option, hint=hint)
    if not max(found.a, found.b):
        raise ConfigError("no tokens at all", where=option, hint=hint)
    return found
