"""When bytes arrived: the kernel's stamp where it can be trusted, else the hub's clock."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.wire import clock as wire_clock
from agentlocust.wire.clock import ANCILLARY_BYTES, SO_TIMESTAMPNS, ArrivalClock, ask_for_stamps, keep_stamping
from agentlocust.wire.connection import Connection
from agentlocust.wire.target import Origin

S = 1_000_000_000
MS = 1_000_000
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps")


class Clocks:
    """A monotonic and a wall clock that move when they are told to; stands for the time module."""

    def __init__(self) -> None:
        self.now = 100 * S
        self.wall = 1_800_000_000 * S
        self.readings = 0

    def monotonic_ns(self) -> int:
        return self.now

    def time_ns(self) -> int:
        self.readings += 1
        return self.wall

    def pass_ns(self, ns: int) -> None:
        self.now += ns
        self.wall += ns

    def stamp(self, ago_ns: int = 0) -> list[tuple[int, int, bytes]]:
        """What the kernel says of bytes that arrived that long ago."""
        return [(socket.SOL_SOCKET, SO_TIMESTAMPNS, struct.pack("@qq", *divmod(self.wall - ago_ns, S)))]


@pytest.fixture
def clocks(monkeypatch):
    clocks = Clocks()
    monkeypatch.setattr(wire_clock, "time", clocks)
    return clocks


def test_a_stamp_between_send_and_now_counts(clocks):
    """The kernel's stamp becomes monotonic time, and which clock was used is counted."""
    clock = ArrivalClock()
    sent = clocks.now
    clocks.pass_ns(50 * MS)
    assert clock.arrival_ns(clocks.stamp(30 * MS), sent, clocks.now) == clocks.now - 30 * MS
    assert clock.arrival_ns(clocks.stamp(0), sent, clocks.now) == clocks.now
    assert clock.arrival_ns(clocks.stamp(50 * MS), sent, clocks.now) == sent
    assert clock.take() == {"kernel": 3}
    assert clock.take() == {}


def test_a_stamp_from_elsewhere_does_not_count(clocks):
    """One before the send, one after now, none at all, another message: the hub's clock it is."""
    clock = ArrivalClock()
    sent = clocks.now
    clocks.pass_ns(50 * MS)
    others = [(socket.SOL_SOCKET, 99, b"x" * 16)]
    short = [(socket.SOL_SOCKET, SO_TIMESTAMPNS, b"12345678")]
    for ancillary in (clocks.stamp(50 * MS + 1), clocks.stamp(-1), [], others, short):
        assert clock.arrival_ns(ancillary, sent, clocks.now) == clocks.now
    assert clock.take() == {"hub": 5}


def test_the_offset_is_read_again_each_second(clocks):
    """Not at each packet, and not once for all: the wall clock may be slewed."""
    clock = ArrivalClock()
    for _ in range(30):
        clock.arrival_ns(clocks.stamp(), clocks.now - S, clocks.now)
        clocks.pass_ns(100 * MS)
    assert clocks.readings == 3 * wire_clock._OFFSET_READINGS


def test_losing_the_cpu_between_two_clocks_does_no_harm(clocks, monkeypatch):
    """Of several readings of the offset the quickest counts."""
    pauses = iter([7 * MS, 0, 3 * MS])

    def time_ns():
        wall = clocks.wall
        clocks.pass_ns(next(pauses))
        return wall

    monkeypatch.setattr(clocks, "time_ns", time_ns)
    clock = ArrivalClock()
    sent, now = clocks.now, clocks.now + 20 * MS
    clocks.pass_ns(20 * MS)
    assert clock.arrival_ns(clocks.stamp(5 * MS), sent, now) == now - 5 * MS


@pytest.mark.parametrize("hours", [1, -1])
def test_a_step_of_the_wall_clock_is_believed_only_after_its_offset_is_read(clocks, hours):
    """For at most a second the hub's clock stands in; then the kernel's stamps are right again."""
    clock = ArrivalClock()
    sent = clocks.now
    clock.arrival_ns(clocks.stamp(), sent, clocks.now)
    clocks.wall += hours * 3600 * S
    stamps = []
    for _ in range(20):
        clocks.pass_ns(100 * MS)
        stamps.append((clock.arrival_ns(clocks.stamp(5 * MS), sent, clocks.now), clocks.now))
    assert [now - stamp for stamp, now in stamps] == [0] * 9 + [5 * MS] * 11


@given(st.lists(st.tuples(st.integers(0, 3 * S), st.integers(-3600 * S, 3600 * S), st.integers(0, 2 * S)), max_size=30))
def test_no_step_of_the_wall_clock_makes_a_stamp_negative_or_future(steps):
    """Whatever the wall clock does, a stamp lies between the last one and the hub's clock."""
    clocks = Clocks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire_clock, "time", clocks)
        clock = ArrivalClock()
        last = clocks.now
        for passed, stepped, ago in steps:
            clocks.pass_ns(passed)
            clocks.wall += stepped
            stamp = clock.arrival_ns(clocks.stamp(ago), last, clocks.now)
            assert last <= stamp <= clocks.now
            last = stamp


def test_elsewhere_than_on_linux_the_hub_stamps(monkeypatch):
    """No other system is asked; a socket that refuses is none the worse."""

    class Refusing:
        asked = 0

        def setsockopt(self, *_: int) -> None:
            self.asked += 1
            raise OSError(92, "Protocol not available")

    refusing = Refusing()
    monkeypatch.setattr(wire_clock.sys, "platform", "darwin")
    assert not ask_for_stamps(refusing)
    assert refusing.asked == 0
    monkeypatch.setattr(wire_clock.sys, "platform", "linux")
    assert not ask_for_stamps(refusing)
    assert refusing.asked == 1


@linux
def test_the_kernel_answers_in_the_form_that_is_read():
    """A real socket's stamp is of this moment, in the layout and size the clock expects."""
    keep_stamping()
    time.sleep(0.2)  # the kernel begins some milliseconds after it was asked
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert ask_for_stamps(client)
        peer, _ = server.accept()
        with peer:
            before = time.monotonic_ns()
            peer.sendall(b"x")
            _, ancillary, _, _ = client.recvmsg(10, ANCILLARY_BYTES)
    clock = ArrivalClock()
    assert before <= clock.arrival_ns(ancillary, before, time.monotonic_ns()) <= time.monotonic_ns()
    assert clock.take() == {"kernel": 1}


class Listening:
    """A receiver that keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes]] = []

    def on_data(self, now_ns: int, data: bytes) -> None:
        self.heard.append((now_ns, data))

    def on_error(self, error: Exception) -> None:
        raise error


@linux
def test_stamping_goes_on_when_no_connection_is_open():
    """One connection after the other, none beside it: all but the first moments' bytes bear a stamp."""
    keep_stamping()
    time.sleep(0.2)
    stamped = 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(100):
            with socket.create_connection(server.getsockname()) as client:
                assert ask_for_stamps(client)
                peer, _ = server.accept()
                with peer:
                    peer.sendall(b"x")
                    stamped += len(client.recvmsg(10, ANCILLARY_BYTES)[1])
            time.sleep(0.002)
    assert stamped == 100


@linux
def test_a_stamp_stays_true_while_the_hub_is_busy():
    """Bytes that waited 50 ms for a blocked hub bear their arrival, not their reading."""
    sent: list[int] = []
    go = threading.Event()

    def serve(listener):
        peer, _ = listener.accept()
        with peer:
            go.wait(10)
            before = time.monotonic_ns()
            peer.sendall(b"late")
            sent[:] = before, time.monotonic_ns()
            gone.wait(10)

    gone = threading.Event()
    keep_stamping()
    time.sleep(0.2)  # the kernel begins some milliseconds after it was asked
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        connection = Connection(Origin("http", "127.0.0.1", listener.getsockname()[1]))
        receiver = Listening()
        try:
            connection.connect(5)
            connection.receive_into(receiver)
            go.set()
            while not sent:  # the hub stands still, from before the bytes are sent
                time.sleep(0.001)
            time.sleep(0.05)
            freed = time.monotonic_ns()
            with gevent.Timeout(5):
                while not receiver.heard:
                    gevent.sleep(0.001)
        finally:
            gone.set()
            connection.close()
        thread.join(10)
    ((stamp, data),) = receiver.heard
    assert data == b"late"
    assert sent[0] - MS < stamp < freed - 40 * MS
    # On its way into the kernel the thread may lose its CPU.
    assert stamp < max(sent[0] + 3 * MS, sent[1] + MS)
