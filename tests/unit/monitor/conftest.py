"""Real processes to watch, that do as they are told."""

from __future__ import annotations

import subprocess
import sys
import uuid

import psutil
import pytest

SCRIPT = """
import os, socket, subprocess, sys, threading, time
held = []
def listen():
    held.append(socket.socket()); held[-1].bind(("127.0.0.1", 0)); held[-1].listen()
    return held[-1].getsockname()[1]
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until: pass
def child():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    held.append(subprocess.Popen([sys.executable, "-c", sys.orig_argv[2], "child"], text=True, **pipes))
    held[-1].stdout.readline()
    return held[-1].pid
def ask(line):
    print(line, file=held[-1].stdin, flush=True)
    return held[-1].stdout.readline().strip()
def rest():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Puppet:
    """A process that evaluates what it is told."""

    def __init__(self, mark: str = "") -> None:
        self.mark = mark or f"puppet-{uuid.uuid4().hex}"
        command = [sys.executable, "-c", SCRIPT, self.mark]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        self.pid = self.process.pid

    def tell(self, line: str) -> str:
        """Have it evaluate a line; what came of it."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self, reap: bool = True) -> None:
        """End it and its children, at once."""
        for child in psutil.Process(self.pid).children(recursive=True) if self.process.poll() is None else ():
            child.kill()
        self.process.kill()
        if reap:
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()


@pytest.fixture
def puppets():
    """Makes them, and ends all of them."""
    made = []

    def make(mark: str = "") -> Puppet:
        made.append(Puppet(mark))
        return made[-1]

    yield make
    for puppet in made:
        puppet.kill()


@pytest.fixture
def puppet(puppets):
    """One."""
    return puppets()
