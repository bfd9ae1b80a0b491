"""A worker on another machine, made with a network namespace, cannot use the master's embedded mock."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid

import pytest

from harness import LOCUST, clean_environment, free_port, spawn, wait_until
from sample_locustfiles import CHAT_SPEC, chat


@pytest.fixture
def other_machine():
    """A network namespace joined to this one by a cable; gives its name and this side's address."""
    name = f"al{uuid.uuid4().hex[:8]}"
    here, there, net = f"{name}a", f"{name}b", f"10.{os.getpid() % 200 + 10}.{os.getpid() // 200 % 250}"
    commands = (
        f"ip netns add {name}",
        f"ip link add {here} type veth peer name {there} netns {name}",
        f"ip addr add {net}.1/24 dev {here}",
        f"ip link set {here} up",
        f"ip -n {name} addr add {net}.2/24 dev {there}",
        f"ip -n {name} link set {there} up",
        f"ip -n {name} link set lo up",
    )
    if shutil.which("ip") is None:
        pytest.skip("no `ip` command")
    try:
        for command in commands:
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"may not make a network namespace: {done.stderr.strip()}")
        yield name, f"{net}.1"
    finally:
        subprocess.run(["ip", "link", "del", here], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_a_worker_elsewhere_is_refused_the_embedded_mock(tmp_path, other_machine):
    """It says why and how to mend it; the test ends with 2 before any request, and nobody stays behind."""
    name, address = other_machine
    (tmp_path / "locustfile.py").write_text(chat("p95(ttft) < 1s"))
    port = str(free_port())
    base = [*LOCUST, "-f", str(tmp_path / "locustfile.py")]
    environment = clean_environment(uuid.uuid4().hex)
    load = ["--headless", "-u", "2", "-t", "5s", "--mock", CHAT_SPEC, "--expect-workers", "1"]
    bind = ["--master", "--master-bind-host", address, "--master-bind-port", port]
    master = spawn([*base, *bind, *load], tmp_path, environment, "master")
    worker_command = [*base, "--worker", "--master-host", address, "--master-port", port]
    worker = spawn(["ip", "netns", "exec", name, *worker_command], tmp_path, environment, "worker")
    try:
        wait_until(lambda: master.poll() is not None and worker.poll() is not None, "both to end")
    finally:
        master.kill()
        worker.kill()
    said = (tmp_path / "master.stderr").read_text()
    assert master.returncode == 2, said
    assert worker.returncode == 2, (tmp_path / "worker.stderr").read_text()
    assert "the embedded mock LLM serves only the master's machine" in said
    assert "--host" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("results/*/summary.json"))
