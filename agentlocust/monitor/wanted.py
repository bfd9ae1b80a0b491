"""What `--watch` asks for, and which processes of this machine it means.

No gevent: also the sampler's child process looks for them, when one died and may have come back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import psutil

from agentlocust.errors import ConfigError

WHERE = "--watch"
MAX_WATCHED = 20
MAX_LENGTH = 300
_MAX_COMMAND = 4096  # characters of a command line that are looked at
_DIGITS = re.compile(r"[0-9]{1,10}")
_HINT = "write pid:123, port:8000, name:nginx or cmd:REGEX; it must run on this machine, before the test starts"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Processes somebody wants watched: `label` is what was written.

    `kind` is `pid`, `port`, `name` (the process's), `cmd` (a regular expression on its command line),
    `text` (a part of its command line), or a guess still to be made: `number` or `word`.
    """

    label: str
    kind: str
    value: str


def parse_watch(text: str) -> Wanted:
    """Read `pid:123`, `port:8000`, `name:nginx`, `cmd:REGEX`, a bare number or a bare word.

    Nothing is looked up yet. Raises ConfigError.
    """
    label = text.strip()
    if not label or len(label) > MAX_LENGTH or not label.isprintable():
        raise ConfigError(f"{label[:40]!r} is nothing to watch", where=WHERE, hint=_HINT)
    prefix, colon, rest = label.partition(":")
    if not colon or prefix not in ("pid", "port", "name", "cmd"):
        number = _DIGITS.fullmatch(label) is not None
        return Wanted(label, "number" if number else "word", str(int(label)) if number else label)
    value = rest.strip()
    if not value:
        raise ConfigError(f"{label!r} names nothing", where=WHERE, hint=_HINT)
    if prefix in ("pid", "port"):
        if _DIGITS.fullmatch(value) is None:
            raise ConfigError(f"{value!r} is not a {prefix}", where=WHERE, hint=f"write {prefix}:NUMBER")
        value = str(int(value))
    if prefix == "port" and not 0 < int(value) < 65536:
        raise ConfigError(f"{value} is not a port", where=WHERE, hint="ports go from 1 to 65535")
    if prefix == "cmd":
        try:
            re.compile(value)
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigError(f"{value!r} is not a regular expression: {error}", where=WHERE) from None
    return Wanted(label, prefix, value)


def resolve(texts: Iterable[str], generator: int) -> list[Wanted]:
    """Read what `--watch` says and look it all up once; guesses become what they turned out to mean.

    A bare number is a port if something listens on it, else a PID; a bare word the name of a process,
    else a part of a command line. `generator` is the PID of the process that makes the load: it, what
    started it and its forks are never meant by a name or a command line. Raises ConfigError when
    nothing is found.
    """
    found = {text.strip(): parse_watch(text) for text in texts}
    if len(found) > MAX_WATCHED:
        raise ConfigError(f"{len(found)} things to watch", where=WHERE, hint=f"at most {MAX_WATCHED}")
    return [_resolved(wanted, generator) for wanted in found.values()]


def _resolved(wanted: Wanted, generator: int) -> Wanted:
    guesses = {"number": ("port", "pid"), "word": ("name", "text")}.get(wanted.kind, (wanted.kind,))
    for kind in guesses:
        guess = replace(wanted, kind=kind)
        if matching(guess, generator):
            return guess
    if "port" in guesses and int(wanted.value) in _listening():
        raise ConfigError(
            f"port {wanted.value} is listened on by a process that this user may not see",
            where=WHERE,
            hint="run as that user, or write pid:NUMBER",
        )
    looked_for = {
        "pid": f"no process {wanted.value}",
        "port": f"nothing listens on port {wanted.value}",
        "name": f"no process is named {wanted.value!r}",
        "cmd": f"no command line matches {wanted.value!r}",
        "number": f"nothing listens on port {wanted.value} and there is no process {wanted.value}",
        "word": f"no process is named {wanted.value!r} and no command line holds it",
    }
    raise ConfigError(looked_for[wanted.kind], where=WHERE, hint=_HINT)


def matching(wanted: Wanted, generator: int) -> list[psutil.Process]:
    """The living processes that are meant, without those whose parent or grandparent is meant too.

    May take tens of milliseconds: it reads the machine's process table.
    """
    if wanted.kind in ("pid", "port"):
        number = int(wanted.value)
        pids = [number] if wanted.kind == "pid" else _listening().get(number, [])
        found = [process for pid in pids if (process := _process(pid)) is not None]
    else:
        means = _test(wanted)
        own = _family(generator)
        command = _command(_process(generator))
        found = []
        for process in psutil.process_iter():
            if process.pid in own:
                continue
            its = _command(process)
            # A fork of the generator has its very command line, `--watch` and all.
            if its != command and means(_name(process), its) and alive(process):
                found.append(process)
    return _topmost(found)


def alive(process: psutil.Process) -> bool:
    """True unless it ended, became a zombie, or its PID is another process's by now."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _test(wanted: Wanted) -> Callable[[str, str], bool]:
    """What a process's name and command line must be like."""
    if wanted.kind == "name":
        return lambda name, command: name == wanted.value
    if wanted.kind == "text":
        return lambda name, command: wanted.value in command
    pattern = re.compile(wanted.value)
    return lambda name, command: pattern.search(command) is not None


def _listening() -> dict[int, list[int]]:
    """The PIDs that listen on each TCP port; a port that nobody may tell about has none."""
    ports: dict[int, list[int]] = {}
    try:
        connections = [(connection, connection.pid) for connection in psutil.net_connections("tcp")]
    except psutil.AccessDenied:  # macOS tells the whole list to root alone, of one's own processes to anybody
        connections = [(connection, process.pid) for process in psutil.process_iter() for connection in _tcp(process)]
    for connection, pid in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr:
            pids = ports.setdefault(connection.laddr.port, [])
            if pid is not None and pid not in pids:
                pids.append(pid)
    return ports


def _tcp(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("tcp"))
    except psutil.Error:
        return []


def _family(pid: int) -> set[int]:
    """A process and all that it descends from."""
    process = _process(pid)
    try:
        return {pid} if process is None else {pid, *(parent.pid for parent in process.parents())}
    except psutil.Error:
        return {pid}


def _process(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
    except (psutil.Error, OverflowError, ValueError):
        return None
    return process if alive(process) else None


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _command(process: psutil.Process | None) -> str:
    try:
        return "" if process is None else " ".join(process.cmdline())[:_MAX_COMMAND]
    except psutil.Error:
        return ""


def _topmost(found: list[psutil.Process]) -> list[psutil.Process]:
    pids = {process.pid for process in found}
    return [process for process in found if not pids & (_family(process.pid) - {process.pid})]
