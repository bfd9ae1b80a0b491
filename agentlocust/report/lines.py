"""Lines of a terminal: columns counted as a terminal counts them, and text from elsewhere made safe."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from agentlocust.redact import terminal_safe

WIDTH = 80


@dataclass(frozen=True, slots=True)
class Line:
    """One line and its rich style; the text alone says everything."""

    text: str
    style: str = ""


def fit(text: str, width: int) -> str:
    """`text` in exactly `width` columns, cut or padded."""
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def cut(text: str, width: int = WIDTH) -> str:
    """`text` in at most `width` columns."""
    return fit(text, width).rstrip() if cell_len(text) > width else text


def safe(text: str, width: int = WIDTH) -> str:
    """Text from elsewhere in at most `width` columns, unable to move the cursor or change a colour."""
    return cut(terminal_safe(text), width)


def sides(left: str, right: str) -> str:
    """One line with something at either end; the left gives way."""
    space = WIDTH - cell_len(right) - 2
    return f"{fit(left, space)}  {right}" if right else cut(left)


def wrapped(text: str, style: str = "", label: str = "") -> list[Line]:
    """Text from elsewhere in two lines at most, the first after a label of ours."""
    indent = " " * len(label) if label else "  "
    room = 2 * (WIDTH - len(label))
    lines = textwrap.wrap(
        safe(text, room), WIDTH, initial_indent=label, subsequent_indent=indent, max_lines=2, placeholder=" …"
    )
    return [Line(cut(line), style) for line in lines]
