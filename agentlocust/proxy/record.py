"""What the proxy tells of one request: figures and names, never a key, never a text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from agentlocust.usage import Usage

_NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to a model or a tool that has ended. Times are monotonic nanoseconds of this machine.

    `run` caused it, as `by` says (`header`, `baggage`, `traceparent`; "" when nothing was passed on).
    `number` is the SDK's of the attempt (-1: it numbers none), `key` the same for requests of equal content, as
    all attempts of a call are. `own` is the status of a reply that the proxy made itself, `faults` what was
    injected, `retry_after_s` what the reply asked to wait.
    `left`: the client went away before the end. `metered`: the test's own user who asked has measured it.
    """

    started_ns: int
    ended_ns: int
    method: str
    path: str
    tool: str = ""
    dialect: str = ""
    model: str = ""
    replied: str = ""
    run: str = ""
    run_name: str = ""
    by: str = ""
    number: int = -1
    key: str = ""
    status: int = 0
    own: int = 0
    failure: str = ""
    message: str = ""
    left: bool = False
    streamed: bool = False
    first_byte_ns: int = 0
    last_byte_ns: int = 0
    first_output_ns: int = 0
    token_ns: tuple[int, ...] = ()
    frame_ns: tuple[int, ...] = ()
    request_bytes: int = 0
    response_bytes: int = 0
    usage: Usage = _NOTHING
    cost_picousd: int | None = None
    faults: tuple[str, ...] = ()
    metered: bool = False
    retry_after_s: float | None = None

    def encode(self) -> str:
        """One line of JSON; what is as usual is left out."""
        told = {name: value for name, default in _FIELDS if (value := getattr(self, name)) != default}
        start = self.started_ns
        if "usage" in told:
            told["usage"] = asdict(self.usage)
        for name in ("token_ns", "frame_ns"):
            if name in told:
                told[name] = [stamp - start for stamp in told[name]]
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def decode(cls, told: dict[str, Any]) -> Attempt:
        """The record of a line's JSON object."""
        start = told["started_ns"]
        for name in ("token_ns", "frame_ns"):
            told[name] = tuple(stamp + start for stamp in told.get(name, ()))
        told["faults"] = tuple(told.get("faults", ()))
        told["usage"] = Usage(**told.get("usage", {}))
        return cls(**told)


_FIELDS = [(field.name, field.default) for field in fields(Attempt)]
