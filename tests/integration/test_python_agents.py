"""Agents in Python under the real `locust`: every total is the mock's truth."""

from __future__ import annotations

import textwrap

import pytest

from harness import ROOT, MockServer, run

SPEC = "ttft=20ms,itl=1ms,tokens=uniform(5,30)"
SYNC = textwrap.dedent("""\
    from locust import constant, task
    from openai import OpenAI

    from agentlocust import PythonAgentUser


    class Plain(PythonAgentUser):
        model = "gpt-4o-mini"
        wait_time = constant(0.05)

        def build(self):
            client = OpenAI(base_url=self.openai_url, api_key=self.api_key, max_retries=0)

            def answer(question):
                asked = [{"role": "user", "content": question}]
                return client.chat.completions.create(model=self.model, messages=asked).choices[0].message.content

            return answer

        @task
        def ask_it(self):
            self.ask("Hello")
""")


@pytest.mark.parametrize("way", ["local", "processes"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_totals_are_the_truth(tmp_path, kind, way):
    """Ten users, four seconds: calls, attempts and tokens are exactly what the mock served."""
    text = SYNC if kind == "sync" else (ROOT / "locustfiles" / "python_agent.py").read_text()
    with MockServer(tmp_path, SPEC) as server:
        result = run(tmp_path, text, "--host", server.url, users=10, run_time="4s", stop_timeout="30", way=way)
        truth = server.final_truth()
    totals = result.expect(0).summary["totals"]
    assert totals["runs"] >= 10
    assert totals["runs_failed"] == 0
    assert (totals["calls"], totals["attempts"]) == (truth["completed"], truth["requests"])
    assert {kind: totals["tokens"][kind] for kind in truth["tokens"]} == truth["tokens"]
