"""Detectors: what was wrong with how an agent went about its task, told from the steps of one run.

Each has thresholds with their reasons, and speaks only when they are passed: a healthy agent that
polls a job, reads a page of results or tries a failed call once more is left alone. A run inside
a run is diagnosed by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from agentlocust.metrics import SCALE, Unit
from agentlocust.records import Finding, FindingKind
from agentlocust.steps import CallStep, Step, ToolStep, conversations
from agentlocust.units import show_count, show_percent, show_usd

LOOP_CALLS = 4  # of one tool with the same arguments, without a new answer: a retry or two is no loop
N_PLUS_1_ITEMS = 5  # of a result: fewer calls than that are no burden
N_PLUS_1_SHARE = (0.8, 1.25)  # calls per item: some items need none, some are asked for again
RUNAWAY_CALLS = 8  # in a row, each with more input than the one before: as many turns as most agents take
RUNAWAY_RATIO = 4  # the last input over the first: below it a long prompt merely grows by answers
RUNAWAY_TOKENS = 8_000  # of the last input: below it a call costs little, however it grew
FASTER_CALLS = 6  # of which each adds more than the one before: by chance that is one run in 120
FASTER_TOKENS = 4_000  # of the last input then: what grows ever faster need not be waited for
RETRY_TRIES = 4  # of a run that repeated failed ones: fewer are what retries are for
RETRY_RATIO = 2.0  # tries over what would have done: beyond it most of the load is repetition
CACHED_SHARE = 0.5  # of a call's input: from here on a conversation counts as cached
CACHE_LOST = 0.5  # of the share that was cached before: below it the cache was missed
CACHE_TOKENS = 1_024  # of input: providers cache no shorter prefix
CACHE_COST = 0.1  # of the run's cost: less is not worth a word

Saving = Callable[[CallStep], Fraction | None]
"""Pico-dollars that one cached token of a call saves; None where its model has no price."""


def diagnose(steps: Sequence[Step], saving: Saving | None = None) -> tuple[Finding, ...]:
    """All that the detectors find in a run's steps. Without `saving` no cache is judged."""
    found = [
        *_loops(steps),
        *_n_plus_1(steps),
        *_runaway_contexts(steps),
        *_invalid_arguments(steps),
        *_retry_storms(steps),
    ]
    if saving is not None:
        found += _cache_misses(steps, saving)
    return tuple(found)


def _loops(steps: Sequence[Step]) -> Iterator[Finding]:
    """The same tool with the same arguments: asked for again, or run again with an answer it had given before."""
    asked = Counter((a.name, a.digest) for step in steps if isinstance(step, CallStep) for a in step.asks)
    run = [step for step in steps if isinstance(step, ToolStep) and step.arguments]
    answers = {(step.name, step.arguments, step.result) for step in run}
    times = Counter((step.name, step.arguments) for step in run)
    fresh = Counter((name, arguments) for name, arguments, _ in answers)
    for (name, arguments), count in (asked | times).items():
        # A job that is polled answers anew each time: only what had been told before is repetition.
        news = max(fresh.get((name, arguments), 1) - 1, 0)
        if count - news >= LOOP_CALLS:
            yield Finding(FindingKind.LOOP, f"{name} was called {count} times with the same arguments", count)


def _n_plus_1(steps: Sequence[Step]) -> Iterator[Finding]:
    """A list of so many items, then about as many calls of one other tool, each with arguments of its own."""
    tools = [step for step in steps if isinstance(step, ToolStep)]
    told = set()
    for number, listing in enumerate(tools):
        items = listing.items or 0
        if items < N_PLUS_1_ITEMS:
            continue
        after: dict[str, list[str]] = {}
        for step in tools[number + 1 :]:
            after.setdefault(step.name, []).append(step.arguments)
        for name, arguments in after.items():
            known = [each for each in arguments if each]
            calls = len(set(known)) + len(arguments) - len(known)
            low, high = (share * items for share in N_PLUS_1_SHARE)
            if name != listing.name and name not in told and calls >= N_PLUS_1_ITEMS and low <= calls <= high:
                told.add(name)
                text = f"{listing.name} told of {items} items, then {name} was called {calls} times, once for each"
                yield Finding(FindingKind.N_PLUS_1, text, calls)


def _runaway_contexts(steps: Sequence[Step]) -> Iterator[Finding]:
    """Input that only ever grows, far and long, or ever faster. An agent that trims its context is let go."""
    for calls in conversations(steps):
        inputs = [call.usage.input for call in calls]
        # A last call without its tools is smaller by them: that is no trimming.
        run = max(_growing_end(inputs), _growing_end(inputs[:-1]), key=len)
        gains = [b - a for a, b in pairwise(run)]
        faster = len(run) >= FASTER_CALLS and all(a < b for a, b in pairwise(gains))
        long = len(run) >= RUNAWAY_CALLS and run[-1] >= RUNAWAY_TOKENS
        if run and run[-1] >= RUNAWAY_RATIO * run[0] and (long or (faster and run[-1] >= FASTER_TOKENS)):
            how = ", ever faster" if faster else ""
            text = f"the input grew from {show_count(run[0])} to {show_count(run[-1])} tokens in {len(run)} calls{how}"
            yield Finding(FindingKind.RUNAWAY_CONTEXT, text, run[-1])


def _growing_end(inputs: Sequence[int]) -> Sequence[int]:
    """The calls at the end of a conversation of which each had more input than the one before."""
    start = max(len(inputs) - 1, 0)
    while start > 0 and inputs[start] > inputs[start - 1]:
        start -= 1
    return inputs[start:]


def _invalid_arguments(steps: Sequence[Step]) -> Iterator[Finding]:
    """One call that its tool cannot take is a finding: the agent, or the schema, is to blame, not chance."""
    wrong = [ask for step in steps if isinstance(step, CallStep) for ask in step.asks if ask.problem]
    if not wrong:
        return
    name, problem = wrong[0].name, wrong[0].problem
    times = sum(ask.name == name for ask in wrong)
    times_text = f"{times} times " if times > 1 else ""
    text = f"{name} was asked for {times_text}with arguments it cannot take: {problem}"
    yield Finding(FindingKind.INVALID_ARGUMENTS, text, len(wrong))


def _retry_storms(steps: Sequence[Step]) -> Iterator[Finding]:
    """Tries that repeat a failed one: an SDK's own attempts, and calls that follow a failed call of their name."""
    calls = [step for step in steps if isinstance(step, CallStep)]
    tries = sum(call.attempts for call in calls)
    failed_before: set[tuple[str, str]] = set()
    again = 0
    for call in calls:
        key = (call.agent, call.name)
        again += key in failed_before
        (failed_before.add if call.failure else failed_before.discard)(key)
    needed = len(calls) - again
    extra = tries - needed
    if needed and extra >= RETRY_TRIES and tries >= RETRY_RATIO * needed:
        kinds = Counter(call.failure for call in calls if call.failure).most_common(1)
        why = f", most for {kinds[0][0]}" if kinds else ""
        text = f"{tries} tries were made for {needed} call{'' if needed == 1 else 's'}{why}"
        yield Finding(FindingKind.RETRY_STORM, text, extra)


def _cache_misses(steps: Sequence[Step], saving: Saving) -> Iterator[Finding]:
    """A conversation that was cached and goes on as it began, of which a later call is no more cached."""
    total = sum(step.cost_picousd or 0 for step in steps if isinstance(step, CallStep))
    missed, lost, shares = 0, Fraction(0), (0.0, 0.0)
    for calls in conversations(steps):
        best = 0.0
        for before, call in pairwise(calls):
            best = max(best, _cached_share(before))
            share = _cached_share(call)
            prefix = before.usage.input
            if best < CACHED_SHARE or not call.repeats or prefix < CACHE_TOKENS or call.usage.input < prefix:
                continue
            price = saving(call) if share < CACHE_LOST * best else None
            if price is not None and price > 0:
                missed += 1
                lost += price * max(round(best * prefix) - call.usage.cache_read, 0)
                shares = max(shares, (best, share), key=lambda pair: pair[0] - pair[1])
    if missed and lost >= CACHE_COST * total:
        dollars = show_usd(float(lost) / SCALE[Unit.USD])
        fell = f"the cached share fell from {show_percent(shares[0])} to {show_percent(shares[1])}"
        again = f" in {missed} calls" if missed > 1 else ""
        yield Finding(
            FindingKind.CACHE_MISS, f"{fell} though the prompt began as before{again}: {dollars} more", round(lost)
        )


def _cached_share(call: CallStep) -> float:
    return call.usage.cache_read / call.usage.input if call.usage.input else 0.0
