"""A trading agent on a paper exchange that misbehaves: it keeps to the limits of a scenario, or fails and is told why.

locust -f locustfiles/trading/trading_agent.py --headless -u 1 --agent-runs 1 --scenario flash_crash

README.md lists the scenarios. `--trading-agent bad` fails each of them; yours is `--trading-agent module:Class`.
"""

import json
import logging

import gevent
from locust import constant, events, task
from openai import OpenAI
from paper_exchange.process import ExchangeProcess
from paper_trials.catalogue import METRICS
from paper_trials.options import add_options, read_options
from paper_trials.trial import Trial

from agentlocust import PythonAgentUser

PATIENCE_S = 28  # of real time, for an agent that never comes to an end
log = logging.getLogger(__name__)
QUICK = {"x-mock": "ttft=2ms,itl=0ms"}  # heeded by the embedded mock alone
add_options = events.init_command_line_parser.add_listener(add_options)


class PaperTrader(PythonAgentUser):
    model = "gpt-4o-mini"
    metrics = METRICS
    wait_time = constant(0.1)

    @classmethod
    def check_options(cls, options):
        scenario, _ = read_options(options)
        cls.sla = [*dict.fromkeys(rule.check for rule in scenario.rules), "run_error_rate < 1%", "sum(task_errors) < 1"]

    def on_start(self):
        self.exchange = ExchangeProcess()
        self.llm = OpenAI(base_url=self.openai_url, api_key=self.api_key, max_retries=0)

    def on_stop(self):
        self.exchange.stop()

    def build(self):
        return self.go_through

    @task
    def trade(self):
        scenario, _ = read_options(self.environment.parsed_options)
        with self.agent_run(scenario.name) as run:
            outcome = self.ask(scenario)
            for name, number in outcome.numbers.items():
                self.metric(name, number)
            run.check(not outcome.broken, "; ".join(outcome.broken))
        for level, told in ((logging.INFO, outcome.alerts), (logging.ERROR, outcome.broken)):
            for text in told:
                log.log(level, "%s: %s", scenario.name, text)

    def go_through(self, scenario):
        _, make_agent = read_options(self.environment.parsed_options)
        trial = Trial(scenario, self.exchange, self.advise, self.current_run.tool)
        with gevent.Timeout(PATIENCE_S, RuntimeError(f"the agent took longer than {PATIENCE_S} s")):
            return trial.run(make_agent(trial.desk))

    def advise(self, question, choices):
        action = {"type": "object", "properties": {"action": {"enum": list(choices)}}, "required": ["action"]}
        reply = self.llm.chat.completions.create(
            model=self.model,
            messages=[{"role": "user", "content": question}],
            response_format={"type": "json_schema", "json_schema": {"name": "advice", "schema": action}},
            extra_headers=QUICK,
        )
        return json.loads(reply.choices[0].message.content)["action"]
