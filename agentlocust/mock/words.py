"""The mock's vocabulary, and how it counts the tokens of a text it is sent."""

from __future__ import annotations

import re

# Plain words: a token's text needs no escape and can be seen in a log.
WORDS = tuple(
    "able about above after again agent all also answer any area ask away back base begin best between blue book "
    "both bring build call can case change city clear close cold come cost could count day deep do door down draw "
    "each early east easy end even every eye face fact fall far fast few field find fine first five follow food "
    "form four free full game gave get give go gold good great green grow half hand hard have head help here high "
    "hold home hot hour house idea join just keep kind know land large last late lead learn left less let light "
    "line list little live long look low main make many map mark may mean meet more most move much name near need "
    "new next night north note number of off often old once one only open order other over own page part pass plan "
    "play point power press put quick quiet rain read ready real red rest right river road room round rule run same "
    "say sea second see send set seven shape ship short show side sing six size sky slow small snow some soon sound "
    "south space stand star start stay step still stop story strong such sun sure table take talk tell ten test "
    "than that then there thing think this three time token tool town tree true try turn two under unit until up "
    "use very voice wait walk warm watch water way week well west when white whole wide wind with wood word work "
    "world year yes yet young".split()
)
_PIECE = re.compile(r"\s*\S{1,16}|\s+\Z")

CHARS_A_TOKEN = 4
MESSAGE_TOKENS = 3  # what framing a message costs, as OpenAI's own guide reckons it


def count_tokens(text: str) -> int:
    """How many tokens the mock says `text` has: its characters by four, rounded up."""
    return -(-len(text) // CHARS_A_TOKEN)


def split_text(text: str) -> tuple[str, ...]:
    """`text` in token-sized pieces, a word or at most 16 letters each; joined they are `text` again."""
    return tuple(_PIECE.findall(text))


def split_json(text: str) -> tuple[str, ...]:
    """`text` in pieces of four characters, as models stream the JSON of a tool call."""
    return tuple(text[at : at + CHARS_A_TOKEN] for at in range(0, len(text), CHARS_A_TOKEN))
