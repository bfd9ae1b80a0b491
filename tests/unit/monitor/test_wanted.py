"""What `--watch` can say, and which processes it finds."""

from __future__ import annotations

import os
import socket
import subprocess

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.monitor import wanted as module
from agentlocust.monitor.wanted import Wanted, alive, matching, parse_watch, resolve

NOBODY = 2**22 + 1  # above the highest PID of Linux


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("pid:123", "pid", "123"),
        ("port:8000", "port", "8000"),
        ("name:nginx", "name", "nginx"),
        ("cmd:vllm serve .*", "cmd", "vllm serve .*"),
        ("cmd:a:b", "cmd", "a:b"),
        (" 8000 ", "number", "8000"),
        ("uvicorn", "word", "uvicorn"),
        ("http://127.0.0.1:8000", "word", "http://127.0.0.1:8000"),
    ],
)
def test_it_is_read(text, kind, value):
    """A prefix says what is meant; without one it is to be guessed. The label is what was written."""
    assert parse_watch(text) == Wanted(text.strip(), kind, value)


@pytest.mark.parametrize(
    "text", ["", " ", "pid:", "pid:x", "port:0", "port:70000", "cmd:(", "name:", "a\nb", "x" * 400, "pid:" + "9" * 30]
)
def test_nonsense_is_refused(text):
    """With where and what."""
    with pytest.raises(ConfigError) as caught:
        parse_watch(text)
    assert caught.value.where == "--watch"


@given(st.text(max_size=50))
def test_nothing_but_a_config_error(text):
    """Whatever is written."""
    try:
        label = parse_watch(text).label
    except ConfigError:
        return
    assert label == text.strip()


def test_each_way_finds_the_same_process(puppet):
    """By PID, by port, by part of the command line and by pattern; a bare number is a port before it is a PID."""
    port = puppet.tell("listen()")
    texts = [f"pid:{puppet.pid}", f"port:{port}", f"cmd:{puppet.mark[:-4]}....$", port, str(puppet.pid), puppet.mark]
    found = resolve(texts, os.getpid())
    assert [wanted.kind for wanted in found] == ["pid", "port", "cmd", "port", "pid", "text"]
    assert [wanted.label for wanted in found] == texts
    for wanted in found:
        assert [process.pid for process in matching(wanted, os.getpid())] == [puppet.pid]


def test_a_name_is_found(tmp_path):
    """The name that `ps` shows."""
    program = tmp_path / "watched-one"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        try:
            for text in ("name:watched-one", "watched-one"):
                (wanted,) = resolve([text], os.getpid())
                assert wanted.kind == "name"
                assert [found.pid for found in matching(wanted, os.getpid())] == [process.pid]
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"pid:{NOBODY}", f"no process {NOBODY}"),
        (str(NOBODY), "nothing listens on port .* and there is no process"),
        ("name:no-such-name", "no process is named"),
        ("cmd:no-such-[c]ommand", "no command line matches"),
        ("no-such-word", "no command line holds it"),
    ],
)
def test_nothing_found_is_an_error_that_says_what_was_looked_for(text, what):
    """Before any load, with the ways to write it."""
    with pytest.raises(ConfigError, match=what) as caught:
        resolve([text], os.getpid())
    assert "this machine" in caught.value.hint


def test_a_free_port_is_nothing_to_watch():
    """A port is that of a listener, not one that was merely used."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match="nothing listens on port"):
            resolve([f"port:{bound.getsockname()[1]}"], os.getpid())


def test_a_port_of_somebody_else_says_so(monkeypatch):
    """The system tells that it is listened on, not by whom."""
    monkeypatch.setattr(module, "_listening", lambda: {8000: []})
    with pytest.raises(ConfigError, match="may not see"):
        resolve(["port:8000"], os.getpid())


def test_only_the_topmost_are_roots(puppet):
    """Children are watched with their parents: they are not found beside them."""
    child = int(puppet.tell("child()"))
    program = Wanted("x", "cmd", "held = ")
    pids = [process.pid for process in matching(program, NOBODY)]
    assert puppet.pid in pids
    assert child not in pids


def test_the_generator_never_watches_itself(puppets):
    """Nor a fork of it, whose command line is the same: both hold the very text that is looked for."""
    generator = puppets()
    fork = puppets(generator.mark)
    word = Wanted("x", "text", generator.mark)
    assert {process.pid for process in matching(word, NOBODY)} == {generator.pid, fork.pid}
    assert matching(word, generator.pid) == []
    started_it = " ".join(psutil.Process(os.getpid()).cmdline())
    assert os.getpid() not in [process.pid for process in matching(Wanted("x", "text", started_it), generator.pid)]


def test_too_many_are_refused():
    """Each costs something; the same one twice is one."""
    with pytest.raises(ConfigError, match="things to watch"):
        resolve([f"word-{number}" for number in range(21)], os.getpid())
    assert len(resolve([f"pid:{os.getpid()}"] * 30, os.getpid())) == 1


def test_a_zombie_is_dead(puppet):
    """It ended: only its parent has not asked yet how."""
    process = psutil.Process(puppet.pid)
    assert alive(process)
    puppet.kill(reap=False)
    os.waitid(os.P_PID, puppet.pid, os.WEXITED | os.WNOWAIT)
    assert process.status() == psutil.STATUS_ZOMBIE
    assert not alive(process)


def test_who_may_not_be_asked_is_passed_over(monkeypatch):
    """Without the right to list all connections, each process is asked; those that refuse are left out."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def refuse(kind: str) -> None:
            raise psutil.AccessDenied

        monkeypatch.setattr(psutil, "net_connections", refuse)
        assert os.getpid() in module._listening()[listener.getsockname()[1]]
