"""A graph of LangGraph on LangChain's OpenAI model, model and tools in turns; called sync and async, streamed.

locust -f locustfiles/frameworks/langgraph_react.py --headless -u 20 -t 60s
"""

import os

os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"  # nothing goes to the internet

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from locust import between, task

from agentlocust import PythonAgentUser


@tool
def find_order(order: int) -> str:
    """Look an order up by its number."""
    return f"order {order} was paid on Monday and has not been sent"


class LangGraphSupport(PythonAgentUser):
    abstract = True
    model = "gpt-4o-mini"
    build_once = "process"
    wait_time = between(0.5, 1.5)
    sla = ["p95(run_latency) < 20s", "run_error_rate < 1%", "error_rate < 1%"]

    def graph(self):
        target = {"base_url": self.openai_url, "api_key": self.api_key}
        llm = ChatOpenAI(model=self.model, max_retries=0, streaming=True, stream_usage=True, **target)
        bound = llm.bind_tools([find_order])
        graph = StateGraph(MessagesState)
        graph.add_node("model", self.node(bound))
        graph.add_node("tools", ToolNode([find_order]))
        graph.add_edge(START, "model")
        graph.add_conditional_edges("model", tools_condition)
        graph.add_edge("tools", "model")
        return graph.compile()

    @task
    def where_is_it(self):
        with self.agent_run("where_is_it") as run:
            answer = self.ask("Where is order 42?")
            run.check(answer, "no answer")


class LangGraphSync(LangGraphSupport):
    def node(self, llm):
        return lambda state: {"messages": [llm.invoke(state["messages"])]}

    def build(self):
        graph = self.graph()
        return lambda question: graph.invoke({"messages": [("user", question)]})["messages"][-1].content


class LangGraphAsync(LangGraphSupport):
    def node(self, llm):
        async def call(state):
            return {"messages": [await llm.ainvoke(state["messages"])]}

        return call

    def build(self):
        graph = self.graph()

        async def answer(question):
            state = await graph.ainvoke({"messages": [("user", question)]})
            return state["messages"][-1].content

        return answer
