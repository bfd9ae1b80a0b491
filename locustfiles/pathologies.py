"""Agents with the faults that the detectors look for, each beside a healthy twin.

locust -f locustfiles/pathologies.py --headless -u 6 -t 10s --mock ttft=20ms,itl=1ms,tokens=8
"""

from locust import constant, tag, task

from agentlocust import OpenAIUser


def tool(name, **properties):
    return [{"name": name, "input_schema": {"type": "object", "properties": properties, "required": [*properties]}}]


JOB = tool("job", of={"enum": ["export"]})
LIST, ORDER = tool("orders"), tool("order", id={"type": "integer", "minimum": 1})
PAGE = "The parcel left the depot and was seen at the harbour. " * 100


class Healthy(OpenAIUser):
    model = "gpt-4o-mini"
    max_tokens = 200
    wait_time = constant(0.1)
    sick = False

    @tag("loop")
    @task
    def asks_again_and_again(self):
        with self.agent_run("loop") as run:
            for turn in range(6):
                self.use(run, JOB, "pending" if self.sick else f"{turn} of 6 done")

    @tag("n_plus_1")
    @task
    def fetches_one_by_one(self):
        with self.agent_run("n_plus_1") as run:
            self.use(run, LIST, [{"id": number} for number in range(8)])
            self.use(run, ORDER, "sent", calls=8 if self.sick else 1)

    @tag("runaway_context")
    @task
    def keeps_every_page(self):
        with self.agent_run("runaway_context") as run:
            for page in range(12):
                if not self.sick:
                    run.messages.clear()
                self.chat(f"Page {page}: {PAGE}")

    @tag("invalid_arguments")
    @task
    def has_no_room_for_arguments(self):
        with self.agent_run("invalid_arguments") as run:
            self.use(run, ORDER, "sent", max_tokens=1 if self.sick else 200)

    @tag("retry_storm")
    @task
    def tries_too_often(self):
        with self.agent_run("retry_storm"):
            for status in ["@status=503"] * (4 if self.sick else 1) + [""]:
                self.chat("Hello", model=self.model + status)

    @tag("cache_miss")
    @task
    def is_sent_to_a_cold_server(self):
        with self.agent_run("cache_miss") as run:
            run.messages = [{"role": "user", "content": PAGE * 2}]
            for share in (0, 0.9, 0.9, 0, 0) if self.sick else (0, 0.9, 0.9, 0.9, 0.9):
                told = {"x-mock": f"cached={share}"}
                self.client.chat.completions.create(model=self.model, messages=run.messages, extra_headers=told)

    def use(self, run, tools, result, calls=1, **params):
        params |= {"tools": tools, "tool_choice": "required", "model": f"{self.model}@tool_calls={calls}"}
        for asked in self.chat("Go on", **params).tool_calls:
            with run.tool(asked.name) as used:
                used.result = result


class Sick(Healthy):
    sick = True
