"""An A2A agent by the official SDK: streams an artifact in pieces, or answers with a task that is polled."""

from __future__ import annotations

import asyncio

from a2a.helpers.proto_helpers import new_task_from_user_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes.agent_card_routes import create_agent_card_routes
from a2a.server.routes.jsonrpc_routes import create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part
from serving import count, serve, with_truth
from starlette.applications import Starlette

WORDS = ("It ", "is ", "on ", "its ", "way.")


class Shop(AgentExecutor):
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        count("started")
        text = context.get_user_input()
        task = context.current_task
        if task is None:
            task = new_task_from_user_message(context.message)
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work(updater.new_agent_message([Part(text="looking it up")]))
        if "fail" in text:
            count("failed")
            await updater.failed(updater.new_agent_message([Part(text="no such order")]))
            return
        if "which" in text:
            count("asked_back")
            await updater.requires_input(updater.new_agent_message([Part(text="Which order?")]))
            return
        for number, word in enumerate(WORDS):
            last = number == len(WORDS) - 1
            await updater.add_artifact([Part(text=word)], artifact_id="answer", append=number > 0, last_chunk=last)
            await asyncio.sleep(0.001)
        if "slow" in text:
            await asyncio.sleep(3600)
        usage = {"usage": {"input_tokens": 7, "output_tokens": 5}}
        await updater.complete(updater.new_agent_message([], metadata=usage))
        count("finished")

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        count("cancelled")


def app() -> Starlette:
    card = AgentCard(
        name="shop",
        description="where orders are",
        version="1",
        supported_interfaces=[AgentInterface(url="/", protocol_binding="JSONRPC", protocol_version="1.0")],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text"],
        default_output_modes=["text"],
        skills=[AgentSkill(id="track", name="track", description="finds orders", tags=["orders"])],
    )
    handler = DefaultRequestHandler(agent_executor=Shop(), task_store=InMemoryTaskStore(), agent_card=card)
    routes = create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True)
    return Starlette(routes=[*create_agent_card_routes(card), *routes])


if __name__ == "__main__":
    serve(with_truth(app()))
