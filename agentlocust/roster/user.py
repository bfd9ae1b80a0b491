"""RosterUser: a Locust user that performs the operations of whichever agent of a roster is next."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gevent
from locust import task
from locust.exception import InterruptTaskSet, RescheduleTask, StopTest, StopUser

from agentlocust.errors import ConfigError
from agentlocust.roster.deal import Stint
from agentlocust.roster.dealer import packed
from agentlocust.roster.desk import Desk
from agentlocust.roster.members import Member, Names, Roster, read_roster
from agentlocust.roster.operations import EVENTS, INJECTED, Event, Operation, OperationFailed, draw, perform
from agentlocust.users.openai import OpenAIUser
from agentlocust.users.reply import Reply
from agentlocust.users.run import Run, Tool

if TYPE_CHECKING:
    from gevent.pool import Group
    from locust.argument_parser import LocustArgumentParser
    from locust.env import Environment

_CONTROL_FLOW = (InterruptTaskSet, RescheduleTask, StopTest, StopUser)  # Locust's own: the operation is cut
_OPTIONS = Names("--agents", "--tasks", "--operations", "--min-delay", "--max-delay", "--missing-data", "--failure")


class RosterUser(OpenAIUser):
    """Performs operations of the named agents in `roster`: exactly `--operations` by each, in all processes.

    Each operation is an agent run named after its task: it looks up data, asks the model and acts; a
    share of them finds no data or fails, as drawn from the test's seed. Override `look_up` and `act` to
    do these for real. Own metrics, 0 or 1 an operation: `missing_data`, `injected_failure`, and
    `target_failure` for those nobody planned.
    """

    abstract = True
    roster: Sequence[Member] = ()
    metrics = ("missing_data", "injected_failure", "target_failure")

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.desk: Desk = environment.agentlocust_roster  # type: ignore[attr-defined]  # put there by the plugin
        self._stint: Stint | None = None
        self._numbers: list[int] = []

    def start(self, group: Group) -> Any:
        """Start the user's greenlet; what it leaves undone is for the others, however it ends."""
        greenlet = super().start(group)
        greenlet.link(lambda _: self._leave())
        return greenlet

    def _leave(self) -> None:
        if self._stint is not None:
            self.desk.leave(self._stint)
            self._stint = None

    # -- options -------------------------------------------------------------------------------

    @classmethod
    def add_options(cls, parser: LocustArgumentParser) -> None:
        """Add the roster's options to Locust's; call it in an `init_command_line_parser` listener."""
        if any(action.dest == "agentlocust_agents" for action in parser._actions):
            return
        group = parser.add_argument_group("roster", "named agents at work at once")

        def add(option: str, **settings: Any) -> None:
            name = option.lstrip("-").replace("-", "_")
            variable = f"AGENTLOCUST_{name.upper()}"
            action = group.add_argument(option, dest=f"agentlocust_{name}", env_var=variable, **settings)
            action.include_in_web_ui = True  # a group forgets what the parser would do

        agents = ",".join(member.name for member in cls.roster) or "Agent_A"
        tasks = ",".join(dict.fromkeys(name for member in cls.roster for name in member.tasks)) or "work"
        add("--agents", default=agents, metavar="A,B,C", help="the agents at work")
        add("--tasks", default=tasks, metavar="X,Y", help="the tasks that they do")
        add("--operations", type=int, default=100, metavar="N", help="operations of each agent, exactly")
        add("--min-delay", type=float, default=0.05, metavar="S", help="seconds that a look-up takes at least")
        add("--max-delay", type=float, default=0.15, metavar="S", help="and at most")
        add("--missing-data", type=float, default=0.2, metavar="P", help="probability that it finds nothing")
        add("--failure", type=float, default=0.1, metavar="P", help="probability that what an agent does fails")
        add("--output-dir", default="results/roster", metavar="DIR", help="where the roster's own files go")
        cls._validate_after_parsing(parser)

    @classmethod
    def _validate_after_parsing(cls, parser: LocustArgumentParser) -> None:
        parse = parser.parse_args

        def parse_and_validate(*args: Any, **kwargs: Any) -> argparse.Namespace:
            options: argparse.Namespace = parse(*args, **kwargs)
            try:
                members = len(cls.read_options(options).members)
            except ConfigError as error:
                parser.error(str(error))
            if options.num_users is None and not _has_a_load(options):
                options.num_users = members  # all of them at work at once
                options.spawn_rate = options.spawn_rate or members
            return options

        parser.parse_args = parse_and_validate

    @classmethod
    def check_options(cls, options: argparse.Namespace) -> Roster:
        """The web UI's form may bring others than the command line did. Raises ConfigError."""
        if not hasattr(options, "agentlocust_agents"):
            hint = f"call {cls.__name__}.add_options(parser) in an init_command_line_parser listener"
            raise ConfigError("the roster's options are missing", where=cls.__name__, hint=hint)
        return cls.read_options(options)

    @classmethod
    def read_options(cls, options: argparse.Namespace) -> Roster:
        """The roster that the options ask for. Raises ConfigError."""
        if not str(options.agentlocust_output_dir).strip():
            raise ConfigError("no directory", where="--output-dir", hint="write results/roster")
        return read_roster(
            options.agentlocust_agents,
            options.agentlocust_tasks,
            operations=options.agentlocust_operations,
            min_delay=options.agentlocust_min_delay,
            max_delay=options.agentlocust_max_delay,
            missing_data=options.agentlocust_missing_data,
            failure=options.agentlocust_failure,
            known=cls.roster,
            names=_OPTIONS,
        )

    # -- operations ----------------------------------------------------------------------------

    @task
    def operate(self) -> None:
        """Perform the next operation."""
        if not self._numbers:
            self._leave()
            self._stint = self.desk.take(self)
            self._numbers = list(self._stint.numbers())
        assert self._stint is not None
        agent, number = self._stint.agent, self._numbers[0]
        operation = draw(self.desk.roster, agent, number, self.desk.seed)
        began = time.monotonic()
        handed = struck = False

        def hand_in(event: Event, reason: str = "", *, struck: bool = False) -> None:
            planned = event is Event.FAILURE and not reason
            injected = planned or struck
            told = INJECTED if planned else self.meter.scrubber.sample(reason)
            took_s = time.monotonic() - began
            del self._numbers[0]
            self._count(operation, event, injected=injected)
            number_of = EVENTS.index(event)
            self.desk.hand_in(packed(agent, number, number_of, took_s, injected=injected, handed=handed, reason=told))

        try:
            with self.agent_run(operation.task, labels={"agent": operation.agent}) as run:
                hands = _Hands(self, run)
                try:
                    event, reason = perform(operation, hands), ""
                except OperationFailed as failure:
                    event, reason = Event.FAILURE, str(failure) or "failed"
                    struck = failure.injected
                if event is Event.FAILURE:
                    run.fail(reason or INJECTED)
                handed = hands.handed
        except _CONTROL_FLOW:
            raise  # it was cut: somebody will make it
        except Exception as error:
            hand_in(Event.FAILURE, f"{type(error).__name__}: {error}")
            raise
        hand_in(event, reason, struck=struck)

    def _count(self, operation: Operation, event: Event, *, injected: bool) -> None:
        labels = {"agent": operation.agent}
        self.metric("missing_data", event is Event.MISSING_DATA, labels=labels)
        self.metric("injected_failure", injected, labels=labels)
        self.metric("target_failure", event is Event.FAILURE and not injected, labels=labels)

    # -- what an agent does; override it ---------------------------------------------------------

    def look_up(self, operation: Operation) -> Any:
        """The data for a task; None when there is none. Its delay has passed already."""
        return {"task": operation.task, "price": round(self.random.uniform(10, 500), 2)}

    def ask(self, operation: Operation, agent: str, data: Any) -> Reply:
        """Have `agent` decide: the operation's own, then the one it hands off to."""
        model = next((member.model for member in self.desk.roster.members if member.name == agent), "")
        prompt = f"You are {agent}. Your task: {operation.task}. What is known: {data}. Decide in one sentence."
        return self.chat(prompt, model=model or self.model, labels={"agent": agent})

    def act(self, operation: Operation, reply: Reply) -> Any:
        """Do what was decided; what it raises is an error in the task, OperationFailed the target's failure."""
        return {"done": operation.task}


def _has_a_load(options: argparse.Namespace) -> bool:
    """True when other options say how many users there are to be."""
    return bool(options.agentlocust_shape or options.agentlocust_trace or any(options.agentlocust_rate))


class _Hands:
    """An agent's hands in a run that is measured."""

    def __init__(self, user: RosterUser, run: Run) -> None:
        self.handed = False
        self._user = user
        self._run = run

    def tool(self, name: str) -> Tool:
        return self._run.tool(name)

    def wait(self, seconds: float) -> None:
        gevent.sleep(seconds)

    def look_up(self, operation: Operation) -> Any:
        return self._user.look_up(operation)

    def decide(self, operation: Operation, data: Any) -> Reply:
        return self._answered(self._user.ask(operation, operation.agent, data))

    def hand_off(self, operation: Operation, decision: Reply) -> Reply:
        self._run.hand_off(operation.partner)
        self.handed = True
        return self._answered(self._user.ask(operation, operation.partner, decision.text))

    def act(self, operation: Operation, decision: Reply) -> Any:
        return self._user.act(operation, decision)

    @staticmethod
    def _answered(reply: Reply) -> Reply:
        if reply.failure is not None:
            failed = OperationFailed(f"call failed: {reply.failure.kind}")
            failed.injected = reply.failure.injected
            raise failed
        return reply
