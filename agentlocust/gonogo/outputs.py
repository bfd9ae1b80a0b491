"""A decision as lines of a terminal, as Markdown and as a page of HTML that fetches nothing."""

from __future__ import annotations

import re

from jinja2 import Environment

from agentlocust.gonogo.finding import Colour, show_age
from agentlocust.gonogo.judge import Decision, Judged
from agentlocust.redact import Scrubber, terminal_safe
from agentlocust.report.lines import Line, cut, fit, safe, sides, wrapped

_STYLES = {Colour.GREEN: "green", Colour.RED: "bold red", Colour.STALE: "yellow"}
_MAX_TEXT = 1000
_INDENT = " " * 9
# What makes tables, marks, links, mentions and tags; `https://…` and `www.…` become links by themselves.
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|~&@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_SCRUBBER = Scrubber()

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ word }}: {{ title }}</title>
<style>
body { font: 16px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .4rem .6rem; vertical-align: top }
tr { border-bottom: 1px solid #ccc } ul { margin: .3rem 0 0; padding-left: 1.2rem; color: #444 }
.green { color: #0a6b2d } .red { color: #b00020 } .stale { color: #8a5a00 } .colour { font-weight: 700 }
td { overflow-wrap: anywhere }
</style>
</head>
<body>
<h1 class="{{ 'green' if word == 'GO' else 'red' }}">{{ word }}</h1>
<p>{{ title }}. {{ counts }}. Judged {{ at }}.</p>
<table>
<thead><tr><th scope="col">Colour</th><th scope="col">Item</th><th scope="col">Evidence</th><th scope="col">Age</th>
</tr></thead>
<tbody>
{% for row in rows -%}
<tr><td class="colour {{ row.colour }}">{{ row.colour }}</td><th scope="row">{{ row.name }}</th><td>{{ row.text }}
{%- if row.details %}<ul>{% for detail in row.details %}<li>{{ detail }}</li>{% endfor %}</ul>{% endif -%}
</td><td>{{ row.age }}</td></tr>
{% endfor -%}
</tbody>
</table>
</body>
</html>
"""


def decision_lines(decision: Decision) -> list[Line]:
    """The items in their order, what is not green with its reason in full, and the verdict last."""
    lines = [Line(safe(decision.title), "bold")]
    for item in decision.items:
        finding = item.finding
        style = _STYLES[finding.colour]
        head = f"  {finding.colour:<6} {fit(terminal_safe(item.name), 60)}"
        lines.append(Line(sides(head, _age(decision, item)), style))
        if finding.colour is Colour.GREEN:
            lines.append(Line(cut(_INDENT + _clean(finding.text))))
            continue
        lines += wrapped(_clean(finding.text), style, label=_INDENT)
        for detail in finding.details:
            lines += wrapped(_clean(detail), label=_INDENT + "- ")
    lines.append(Line(f"{decision.word}  {_counts(decision)}", "bold green" if decision.go else "bold red"))
    return lines


def markdown(decision: Decision) -> str:
    """A heading with the verdict and a table; text from evidence is escaped."""
    rows = [
        f"# {decision.word}: {_plain(decision.title)}",
        "",
        f"{_counts(decision)}. Judged {_at(decision)}.",
        "",
        "| colour | item | evidence | age |",
        "|---|---|---|---|",
    ]
    for item in decision.items:
        finding = item.finding
        evidence = "<br>".join(map(_plain, (finding.text, *finding.details)))
        rows.append(f"| {finding.colour} | {_plain(item.name)} | {evidence} | {_age(decision, item)} |")
    return "\n".join(rows) + "\n"


def html(decision: Decision) -> str:
    """One page; every text in it is escaped, and its policy forbids scripts and fetching."""
    rows = [
        {
            "colour": item.finding.colour.value,
            "name": _clean(item.name),
            "text": _clean(item.finding.text),
            "details": [_clean(detail) for detail in item.finding.details],
            "age": _age(decision, item),
        }
        for item in decision.items
    ]
    template = Environment(autoescape=True).from_string(_PAGE)
    return template.render(
        word=decision.word, title=_clean(decision.title), counts=_counts(decision), at=_at(decision), rows=rows
    )


def _counts(decision: Decision) -> str:
    return ", ".join(f"{decision.count(colour)} {colour}" for colour in Colour)


def _at(decision: Decision) -> str:
    return f"{decision.at:%Y-%m-%d %H:%M} UTC"


def _age(decision: Decision, item: Judged) -> str:
    made = item.finding.made
    return "" if made is None or made >= decision.at else show_age((decision.at - made).total_seconds())


def _clean(text: str) -> str:
    """Without secrets and control characters: a failure's text may hold what a server said."""
    return _SCRUBBER.clean(text, _MAX_TEXT)


def _plain(text: str) -> str:
    return _MARKDOWN.sub(lambda mark: f"&#{ord(mark[0])};", _clean(text))
