"""Decides by a plan: which faults strike an attempt, and what comes of them together."""

from __future__ import annotations

from collections import Counter
from functools import partial

from agentlocust.faults.draw import draw
from agentlocust.faults.fault import Draft, Hit
from agentlocust.faults.injection import Asked, Injection
from agentlocust.faults.plan import FaultPlan


class PlanInjector:
    """An `Injector` for a plan and a seed. `parts` processes share what a rule counts, such as a rate.

    Chance is a function of seed, rule, user, run, call and attempt. A rule is known by its own text, and which of
    those with that text it is. Only a rate limit remembers what was asked.
    """

    def __init__(self, plan: FaultPlan, seed: int, parts: int = 1) -> None:
        self.plan = plan
        self.seed = seed
        seen: Counter[str] = Counter()
        self._rules = []
        for rule in plan.rules:
            if not rule.local:
                state = rule.fault.state(rule.values, max(parts, 1)) if rule.fault.state is not None else None
                self._rules.append((f"{rule.identity}#{seen[rule.identity]}", rule, state))
                seen[rule.identity] += 1

    def decide(self, asked: Asked, body: bytes) -> Injection | None:
        """What goes wrong with this attempt, or None. Never waits."""
        draft: Draft | None = None
        for known_by, rule, state in self._rules:
            if not rule.covers(asked) or (rule.share < 1 and draw(self.seed, known_by, asked, "share") >= rule.share):
                continue
            if draft is None:
                draft = Draft()
            hit = Hit(rule.values, asked, body, partial(draw, self.seed, known_by, asked), state)
            if rule.fault.strike(hit, draft):
                draft.faults.append(rule.fault.name)
        return draft.injection() if draft is not None else None
