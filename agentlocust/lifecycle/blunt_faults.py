"""Rules of a fault plan that strike nothing of some Users' requests: said before there is any load."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentlocust.users.faults import PLACES

if TYPE_CHECKING:
    from agentlocust.lifecycle.options import Settings
    from agentlocust.users.base import AgentUser

logger = logging.getLogger(__name__)


def warn_of_blunt(settings: Settings, users: Sequence[type[AgentUser]]) -> None:
    """Say which rules need replies of a model's API that some Users do not get."""
    if settings.faults_at == PLACES[2]:
        return  # there they strike what agents ask of models
    for rule in settings.faults.rules:
        names = [
            cls.__name__
            for cls in users
            if (known := cls.replies()) and not rule.local and not any(rule.fault.applies(asked) for asked in known)
        ]
        if names:
            told = ", ".join(names)
            logger.warning("agentlocust: %s strikes nothing of %s: their replies hold nothing for it", rule.text, told)
