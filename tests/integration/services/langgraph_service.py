"""A LangGraph server's two routes in front of a real graph: what it streams are LangChain's own messages."""

from __future__ import annotations

import json
import uuid
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from serving import count, serve, with_truth
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

THREADS: set[str] = set()


async def speak(state: MessagesState) -> dict[str, Any]:
    """The graph's one node: an answer that tells how many messages it was shown."""
    told = AIMessage(
        f"message {len(state['messages'])} is on its way",
        usage_metadata={"input_tokens": 7, "output_tokens": 5, "total_tokens": 12},
        response_metadata={"model_name": "gpt-4o-mini"},
    )
    return {"messages": await GenericFakeChatModel(messages=iter([told])).ainvoke(state["messages"])}


graph = StateGraph(MessagesState).add_node("speak", speak).add_edge(START, "speak").compile(InMemorySaver())


async def make_thread(request: Request) -> Response:
    thread = str(uuid.uuid4())
    THREADS.add(thread)
    count("threads")
    return JSONResponse({"thread_id": thread, "status": "idle"})


async def run(request: Request) -> Response:
    thread = request.path_params["thread"]
    if thread not in THREADS:
        return JSONResponse({"detail": "Thread not found"}, 404)
    asked = await request.json()
    count("started")

    async def events() -> Any:
        yield f"event: metadata\ndata: {json.dumps({'run_id': str(uuid.uuid4())})}\n\n"
        if "fail" in asked["input"]["messages"][0]["content"]:
            count("failed")
            told = {"error": "ValueError", "message": "no such order"}
            yield f"event: error\ndata: {json.dumps(told)}\n\n"
            return
        config = {"configurable": {"thread_id": thread}}
        async for piece, about in graph.astream(asked["input"], config, stream_mode="messages"):
            told = [json.loads(piece.model_dump_json()), {"langgraph_node": about["langgraph_node"]}]
            yield f"event: messages\ndata: {json.dumps(told)}\n\n"
        count("finished")
        yield "event: end\ndata: null\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


if __name__ == "__main__":
    routes = [
        Route("/threads", make_thread, methods=["POST"]),
        Route("/threads/{thread}/runs/stream", run, methods=["POST"]),
    ]
    serve(with_truth(Starlette(routes=routes)))
