"""What a request and its reply tell of faults in headers, between us and the mock or the proxy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

from agentlocust.faults.catalogue import FAULTS
from agentlocust.faults.injection import ABOUT, WHO, Asked

_MOST = 20  # names in a reply's header that are read


def told(asked: Asked) -> list[tuple[str, str]]:
    """The headers by which the mock and the proxy decide as we would."""
    who = f"{asked.user}.{asked.run}.{asked.call}.{asked.attempt}"
    about = {"at": f"{asked.at_s:.3f}", "phase": asked.phase, "name": asked.name, "model": asked.model}
    return [(WHO.decode(), who), (ABOUT.decode(), urlencode({key: text for key, text in about.items() if text}))]


def heard(asked: Asked, headers: Mapping[str, str]) -> Asked:
    """`asked` with what the request's headers (names in lower case) tell of itself; nonsense is passed over."""
    numbers = headers.get(WHO.decode(), "").split(".")
    if len(numbers) == 4 and all(number.isascii() and number.isdigit() and len(number) < 16 for number in numbers):
        user, run, call, attempt = map(int, numbers)
        asked = replace(asked, user=user, run=run, call=call, attempt=attempt)
    about = dict(parse_qsl(headers.get(ABOUT.decode(), "")[:2000]))
    try:
        at_s = float(about.get("at", asked.at_s))
    except ValueError:
        at_s = asked.at_s
    return replace(
        asked,
        at_s=at_s if 0 <= at_s < 1e9 else asked.at_s,
        phase=about.get("phase", asked.phase),
        name=about.get("name", asked.name),
        model=about.get("model", asked.model),
    )


def names_in(header: str) -> tuple[str, ...]:
    """The faults that a reply's header names; what is none of ours is passed over."""
    names = (name.strip() for name in header[:1000].split(",")[:_MOST])
    return tuple(name for name in names if name in FAULTS)
