"""The mock LLM as a bare ASGI application: routes, checks and books."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import random
import re
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from agentlocust.dialects.answers import Problem
from agentlocust.dialects.anthropic.writer import count_body
from agentlocust.dialects.openai_chat.writer import model_body, models_body
from agentlocust.dialects.openai_embeddings.writer import body as embeddings_body
from agentlocust.errors import ConfigError
from agentlocust.mock import apis
from agentlocust.mock.ailments import Ailments
from agentlocust.mock.asks import BadAsk, clean, read_embeddings, read_messages
from agentlocust.mock.behaviour import Behaviour, overlaid, split_model
from agentlocust.mock.exchange import ClientGone, Exchange
from agentlocust.mock.gate import Gate
from agentlocust.mock.plan import Occurrences, input_usage, make_plan
from agentlocust.mock.schedule import until
from agentlocust.mock.threads import Threads
from agentlocust.mock.truth import Truth
from agentlocust.usage import Usage

_EMBEDDINGS = "/v1/embeddings"
_COUNT = "/v1/messages/count_tokens"
_MODELS = "/v1/models"
# In a prompt, where no header can be set: `[[mark:run-17]]` tells the truth whose request it is.
_MARK_BEGINS = b"[[mark:"
_MARK = re.compile(rb"\[\[mark:([\w.\-]{1,100})\]\]")
_POSTS = {*apis.APIS, _EMBEDDINGS, _COUNT}
MODELS = ("gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5", "text-embedding-3-small", "mock")


class MockApp:
    """Answers as `behaviour` says, from `seed`; its `truth` knows what was served.

    `is_ending` tells whether the server is to stop, for a mock that is frozen.
    """

    def __init__(self, behaviour: Behaviour, seed: int, instance: str, is_ending: Callable[[], bool]) -> None:
        self.behaviour = behaviour
        self.truth = Truth(instance)
        pressure = behaviour.pressure
        self._gate = Gate(pressure, self.truth) if pressure.limits else None
        self._ailments = Ailments(pressure, is_ending) if pressure.ails else None
        self._occurrences = Occurrences(seed if behaviour.seed is None else behaviour.seed)
        self._created = int(time.time())
        self._requests = 0
        self._threads = Threads()

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send, self.behaviour)
        exchange.connection.task = asyncio.current_task()
        try:
            if exchange.path.startswith("/_truth"):
                await self._tell(exchange)
            else:
                await self._serve(exchange)
        except (ClientGone, asyncio.CancelledError):
            if exchange.visit is not None:
                exchange.visit.aborted("client", exchange.sent)
        except Exception:
            # A fault of the mock itself: it must not look like a reply, and must be seen.
            traceback.print_exc(file=sys.stderr)
            if exchange.visit is not None:
                exchange.visit.failed("crash")
            exchange.connection.transport.close()
        finally:
            exchange.connection.task = None
            if exchange.entered and self._gate is not None:
                self._gate.leave(exchange)

    async def _tell(self, exchange: Exchange) -> None:
        """The books: read with GET, cleared with a POST to /_truth/reset; never counted themselves."""
        asked = (exchange.method, exchange.path)
        if asked == ("POST", "/_truth/reset"):
            self.truth.reset()
            if self._ailments is not None:
                self._ailments.reset()
        if asked in (("GET", "/_truth"), ("POST", "/_truth/reset")):
            await exchange.respond(200, [], json.dumps(self.truth.report()).encode())
        else:
            await exchange.respond(404, [], b'{"error": "GET /_truth or POST /_truth/reset"}')

    async def _serve(self, exchange: Exchange) -> None:
        """Answer or refuse a request of an API, and count it. Raises ClientGone."""
        mark = exchange.headers.get("x-mock-mark", "")[:200]
        exchange.visit = self.truth.visit(_route(exchange.path), mark)
        self._requests += 1
        if self._ailments is not None:
            self._ailments.request(self.truth.now)
        exchange.request_id = f"{self.truth.instance}{self._requests:012x}"
        try:
            await self._answer(exchange, await exchange.read())
        except ConfigError as error:
            await self._refuse(exchange, Problem(400, "bad_request", str(error)))
        except BadAsk as bad:
            await self._refuse(exchange, bad.problem, bad.retry_after_s)
        except RecursionError:
            await self._refuse(exchange, Problem(400, "bad_request", "The request's JSON is nested too deeply."))

    async def _refuse(self, exchange: Exchange, problem: Problem, retry_after: float | None = None) -> None:
        """Send an error reply, with the key the request bore in it when the behaviour is to leak it."""
        message = problem.message
        if exchange.behaviour.echo == "key":
            message = f"{message or problem.kind}: {_key(exchange)}"
        problem = replace(problem, message=clean(message))
        if retry_after is None:
            retry_after = exchange.behaviour.retry_after
        headers, body = apis.refusal(
            problem, exchange.is_anthropic, exchange.request_id, exchange.received, retry_after
        )
        await exchange.fail(problem.status, headers, body)

    async def _answer(self, exchange: Exchange, raw: bytes | None) -> None:
        """Answer a request that came whole. Raises BadAsk, ConfigError, RecursionError, ClientGone."""
        path, is_anthropic = exchange.path, exchange.is_anthropic
        header = exchange.headers.get("x-mock", "")
        exchange.behaviour = overlaid(self.behaviour, "", header)
        if raw is None:
            raise BadAsk("", status=413, kind="too_large")
        if path not in _POSTS:
            _check_sender(exchange)
            await self._reply(exchange, None, self._models(exchange))
            return
        if exchange.method != "POST":
            raise BadAsk(f"Not allowed to {exchange.method} on {path}.", status=405)
        body = self._threads.whole(_object(raw)) if is_anthropic else _object(raw)
        _mark(exchange, json.dumps(body.get("messages")).encode() if is_anthropic and "thread" in body else raw)
        name, suffix = split_model(apis.model_of(body, is_anthropic))
        exchange.behaviour = overlaid(self.behaviour, suffix, header)
        _check_sender(exchange)
        apis.check_model(name, is_anthropic)
        rng = self._occurrences.source(path, body, exchange.behaviour.seed)
        _draw_error(exchange, rng)
        if path == _COUNT:
            tokens = read_messages(body, needs_limit=False).input_tokens
            await self._reply(exchange, None, count_body(tokens))
        elif path == _EMBEDDINGS:
            await self._embed(exchange, body, clean(name), rng)
        else:
            await self._generate(exchange, apis.APIS[path], body, clean(name), rng)

    async def _generate(
        self, exchange: Exchange, api: apis.Api, body: dict[str, Any], model: str, rng: random.Random
    ) -> None:
        """A reply with generated tokens, streamed or not."""
        ask = api.read(body)
        apis.check_context(ask, exchange.behaviour.context, exchange.is_anthropic)
        if self._gate is not None:
            await self._gate.enter(exchange)
        plan = make_plan(ask, exchange.behaviour, model, int(time.time()), rng)
        if exchange.is_anthropic:
            self._threads.hold(body, plan.answer)
        headers = apis.reply_headers(exchange.is_anthropic, exchange.request_id, exchange.received, ask.input_tokens)
        if ask.stream:
            await exchange.stream(headers, api.frames(plan.answer, ask.include_usage), plan, rng)
        else:
            await exchange.whole(headers, api.body(plan.answer), plan, rng)

    async def _embed(self, exchange: Exchange, body: dict[str, Any], model: str, rng: random.Random) -> None:
        """Vectors of length 1, one an input, due after ttft."""
        counts, dimensions = read_embeddings(body)
        usage = input_usage(sum(counts), exchange.behaviour)
        vectors = [_unit_vector(dimensions, rng) for _ in counts]
        told = usage if exchange.behaviour.usage else None
        reply = embeddings_body(model, vectors, told, base64_floats=body.get("encoding_format") == "base64")
        if self._gate is not None:
            await self._gate.enter(exchange)
        exchange.due = exchange.started + exchange.behaviour.ttft.draw(rng)
        await until(exchange.due)
        await self._reply(exchange, usage, reply)

    def _models(self, exchange: Exchange) -> bytes:
        """The list of models, or one of them. Raises BadAsk for any other path or model."""
        path = exchange.path
        name = path.removeprefix(_MODELS + "/")
        if exchange.method != "GET" or not (path == _MODELS or (name != path and name)):
            raise BadAsk(f"Invalid URL ({exchange.method} {path})", status=404, kind="not_found")
        if path == _MODELS:
            return models_body(MODELS, self._created)
        apis.check_model(name, exchange.is_anthropic)
        return model_body(clean(name), self._created)

    async def _reply(self, exchange: Exchange, usage: Usage | None, body: bytes) -> None:
        headers = apis.reply_headers(
            exchange.is_anthropic, exchange.request_id, exchange.received, usage.input if usage else 0
        )
        await exchange.settle(usage)
        await exchange.respond(200, headers, body)


def _route(path: str) -> str:
    """The name a path is counted under: its own, or one of two for the endless others."""
    if path in _POSTS or path == _MODELS:
        return path
    return _MODELS + "/{id}" if path.startswith(_MODELS + "/") else "other"


def _key(exchange: Exchange) -> str:
    """The API key as the request bore it, with `Bearer` where that was written."""
    return exchange.headers.get("authorization") or exchange.headers.get("x-api-key", "")


def _check_sender(exchange: Exchange) -> None:
    """The failures that need no body: one asked for, or a wrong key. Raises BadAsk, ConfigError."""
    behaviour = exchange.behaviour
    asked = exchange.headers.get("x-mock-status") or behaviour.status
    if asked:
        raise BadAsk.of(apis.problem_named(asked, exchange.is_anthropic))
    wanted = behaviour.auth.encode()
    if wanted and not hmac.compare_digest(_key(exchange).removeprefix("Bearer ").encode(), wanted):
        raise BadAsk.of(apis.problem_named("auth", exchange.is_anthropic))


def _draw_error(exchange: Exchange, rng: random.Random) -> None:
    """Fail the behaviour's share of requests. Raises BadAsk."""
    errors = exchange.behaviour.errors
    if not errors:
        return
    drawn = rng.random()
    for name, share in errors:
        drawn -= share
        if drawn < 0:
            raise BadAsk.of(apis.problem_named(name, exchange.is_anthropic))


def _mark(exchange: Exchange, text: bytes) -> None:
    """Tell the truth whose request it is, if its text bears a mark."""
    if exchange.visit is not None and _MARK_BEGINS in text and (found := _MARK.search(text)):
        exchange.visit.marked(found[1].decode())


def _object(raw: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises BadAsk."""
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise BadAsk("We could not parse the JSON body of your request.")
    return body


def _unit_vector(dimensions: int, rng: random.Random) -> list[float]:
    numbers = [rng.random() - 0.5 for _ in range(dimensions)]
    length = math.hypot(*numbers) or 1.0
    return [number / length for number in numbers]
