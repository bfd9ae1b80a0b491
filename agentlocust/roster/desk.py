"""Where the users of this process get their operations and hand in what came of them, alone or on a worker."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gevent.event import Event as Signal
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from agentlocust.roster.deal import Stint
from agentlocust.roster.dealer import Dealer, Word
from agentlocust.roster.members import Roster
from agentlocust.users.permits import NoPermit

if TYPE_CHECKING:
    from argparse import Namespace

    from locust import User
    from locust.env import Environment
    from locust.rpc import Message
    from locust.runners import Runner

logger = logging.getLogger(__name__)

WORD, STINTS = "agentlocust_roster_word", "agentlocust_roster_stints"
HERE = "here"


class Desk:
    """One process's desk, for one test at a time; on the node that judges it keeps the dealer too.

    The composition root tells it when a test begins and ends, when a worker is to report, and gives it
    what ends a test (`end`). Locust's own listeners are none of its business.
    """

    def __init__(
        self, environment: Environment, runner: Runner, read: Callable[[Namespace], Roster], end: Callable[[], None]
    ) -> None:
        self.roster = Roster(())
        self.seed = 0
        self._environment = environment
        self._runner = runner
        self._read = read
        self._end = end
        self._dealer: Dealer | None = None
        self._test = 0
        self._ended = False
        self._forget()
        if isinstance(runner, MasterRunner):
            runner.register_message(WORD, self._on_word)
        elif isinstance(runner, WorkerRunner):
            runner.register_message(STINTS, self._on_stints)

    def _forget(self) -> None:
        self._stints: deque[Stint] = deque()
        self._made: list[list[Any]] = []
        self._free: list[int] = []
        self._waiting = self._received = 0
        self._news = Signal()

    # -- told by the composition root ----------------------------------------------------------

    def begin(self, seed: int, test: int) -> None:
        """Test number `test` starts with this seed, on every node before its users. Raises ConfigError."""
        self._forget()
        self.roster, self.seed = self._read(self._options), seed
        self._test = test
        self._ended = False
        if not isinstance(self._runner, WorkerRunner):
            users = max(self._runner.target_user_count or 0, int(self._options.num_users or 0))
            self._dealer = Dealer(self.roster, seed, users)

    def report(self) -> None:
        """A worker's moment to hand over what it has not: each second, and before its last word."""
        if self._made or self._free:
            self._speak()

    def look_after(self) -> None:
        """On a master, each second: operations that lost workers held are for the others."""
        if self._dealer is not None and isinstance(self._runner, MasterRunner):
            here = [node.id for node in self._runner.clients.all if node.state != STATE_MISSING]
            self._deliver(self._dealer.here(here))

    def finish(self) -> bool:
        """The test has ended and all reports are in: write the files. False when they cannot be written."""
        dealer, self._dealer = self._dealer, None
        if dealer is None:
            return True
        directory = self._options.agentlocust_output_dir
        try:
            totals = dealer.write(directory)["totals"]
        except OSError as error:
            logger.error("agentlocust: the roster's files could not be written: %s", error)  # noqa: TRY400  # no bug
            return False
        logger.info(
            "agentlocust: %d of %d operations: %d successes, %d failures (%d injected), %d without data; in %s",
            totals["operations"],
            dealer.roster.total,
            totals["successes"],
            totals["failures"],
            totals["injected_failures"],
            totals["missing_data"],
            directory,
        )
        return True

    @property
    def _options(self) -> Any:
        return self._environment.parsed_options

    # -- told by users -------------------------------------------------------------------------

    def take(self, user: User) -> Stint:
        """The next operations; waits while others are at work on all that are left."""
        state = user._state
        self._waiting += 1
        try:
            self._speak()
            while not self._stints:
                if state == LOCUST_STATE_STOPPING:
                    raise NoPermit
                if state == LOCUST_STATE_RUNNING:
                    user._state = LOCUST_STATE_WAITING  # such a user can be stopped at once
                self._news.clear()
                self._news.wait()
                if user._state == LOCUST_STATE_STOPPING:
                    raise NoPermit
                user._state = state
            stint = self._stints.popleft()
        finally:
            self._waiting -= 1
            self._give_back_unwanted()
        return stint

    def leave(self, stint: Stint) -> None:
        """The user will make no more of these."""
        self._free.append(stint.lane)

    def hand_in(self, made: list[Any]) -> None:
        """An operation has ended (see `packed`)."""
        self._made.append(made)
        if self._dealer is not None:
            self._speak()

    # -- between the nodes ---------------------------------------------------------------------

    def _speak(self) -> None:
        made, self._made = self._made, []
        free, self._free = self._free, []
        waiting = max(self._waiting - len(self._stints), 0)
        if self._dealer is not None:
            self._take_word(HERE, Word(made, free, waiting, self._received))
        elif isinstance(self._runner, WorkerRunner):
            word = {"test": self._test, "made": made, "free": free, "waiting": waiting, "received": self._received}
            self._runner.send_message(WORD, word)

    def _take_word(self, holder: str, word: Word) -> None:
        if self._dealer is None:
            return
        self._deliver(self._dealer.hear(holder, word))
        if self._dealer.complete and not self._ended:
            self._ended = True
            logger.info("agentlocust: all %s operations are made", f"{self.roster.total:,}")
            self._end()

    def _deliver(self, served: dict[str, list[Stint]]) -> None:
        for holder, stints in served.items():
            if holder == HERE:
                self._receive(stints)
            else:
                plain = [[stint.lane, stint.agent, stint.first, stint.step, stint.count] for stint in stints]
                self._runner.send_message(STINTS, {"test": self._test, "stints": plain}, client_id=holder)

    def _receive(self, stints: list[Stint]) -> None:
        self._received += len(stints)
        self._stints.extend(stints)
        self._news.set()
        self._give_back_unwanted()

    def _give_back_unwanted(self) -> None:
        unwanted = len(self._stints) - self._waiting
        if unwanted > 0:
            self._free += [self._stints.pop().lane for _ in range(unwanted)]
            self._speak()

    def _on_word(self, environment: Environment, msg: Message) -> None:
        word = msg.data
        if word["test"] == self._test:
            self._take_word(msg.node_id, Word(word["made"], word["free"], word["waiting"], word["received"]))

    def _on_stints(self, environment: Environment, msg: Message) -> None:
        if msg.data["test"] == self._test:
            self._receive([Stint(*numbers) for numbers in msg.data["stints"]])
