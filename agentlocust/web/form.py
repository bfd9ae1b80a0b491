"""The form that starts a test in the web UI: read, validated and answered before Locust acts on it."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from flask import Response, jsonify, request
from locust.runners import STATE_INIT, STATE_RUNNING, STATE_SPAWNING
from locust.util.timespan import parse_timespan

from agentlocust.errors import ConfigError
from agentlocust.lifecycle.options import read_settings
from agentlocust.users.base import AgentUser

if TYPE_CHECKING:
    from flask import Flask
    from locust.runners import Runner
    from locust.web import WebUI

    from agentlocust.lifecycle.conductor import Conductor

logger = logging.getLogger(__name__)

ENDING_S = 10.0  # how long a new test waits for the last one's shape to be over


def check_form(web_ui: WebUI, conductor: Conductor) -> None:
    """Have the form refused that asks for what cannot be, and its load chosen when it can."""

    def check() -> Response | None:
        if request.method != "POST" or not request.path.endswith("/swarm"):
            return None
        runner = conductor.runner
        if conductor.current is not None and runner.state in (STATE_INIT, STATE_SPAWNING, STATE_RUNNING):
            return None  # the test goes on: Locust says what may change in it
        try:
            _await_shape(runner)  # else Locust would say that it swarms, and not do it
            options = with_form(conductor.options, request.form)
            users = [cls for cls in conductor.environment.user_classes if issubclass(cls, AgentUser)]
            conductor.choose(read_settings(options, users).load)
            conductor.options.run_time = options.run_time  # Locust keeps the last test's when none is given
        except ConfigError as error:
            logger.error("agentlocust: the test cannot start: %s", error)  # noqa: TRY400  # no bug
            return jsonify({"success": False, "message": str(error), "host": conductor.environment.host})
        return None

    app = cast("Flask", web_ui.app)
    app.before_request(check)


def _await_shape(runner: Runner) -> None:
    if runner.shape_greenlet is not None:
        runner.shape_greenlet.join(ENDING_S)
    if runner.shape_greenlet is not None:
        raise ConfigError("the last test has not ended yet", hint="wait for its summary")


def with_form(options: Namespace, form: Mapping[str, str]) -> Namespace:
    """The options as Locust will change them for this form. Raises ConfigError for what has the wrong type."""
    changed = Namespace(**vars(options))
    for key, text in form.items():
        dest = {"user_count": "num_users"}.get(key, key)
        before = getattr(options, dest, None)
        try:
            if dest == "run_time":
                changed.run_time = parse_timespan(text) if text else None
            elif dest in ("num_users", "spawn_rate"):
                setattr(changed, dest, float(text) if dest == "spawn_rate" else int(text))
            elif dest.startswith("agentlocust_"):
                setattr(changed, dest, _coerced(before, text))
        except ValueError:
            hint = f"write it like {before!r}" if before is not None else ""
            raise ConfigError(f"{text[:40]!r} is not right", where=dest, hint=hint) from None
    return changed


def _coerced(before: Any, text: str) -> Any:
    if isinstance(before, bool):
        return text == "true"
    if isinstance(before, list):
        return text.split(",")
    return text if before is None else type(before)(text)
