"""Named agents at work at once, each with its own tasks, weights and model; some data is missing, some acts fail.

locust -f locustfiles/multi_agent.py --headless --operations 20 --output-dir results/roster
"""

from locust import events

from agentlocust import Member, RosterUser

TRADES = {"buy": 3, "sell": 3, "hedge": 1, "rebalance": 1}


class TradingDesk(RosterUser):
    model = "gpt-4o-mini"
    system = "You trade on a small desk. Decide quickly and give one reason."
    max_tokens = 60
    sla = ["mean(target_failure) < 0.01", "p95(run_latency) < 10s", "error_rate < 1%"]
    roster = [
        Member("StockAgent_A", tasks=TRADES),
        Member("ForexAgent_B", tasks=TRADES, weight=2),
        Member("CryptoAgent_C", tasks=TRADES, model="gpt-4.1-mini"),
        Member("ArbitrageAgent_D", tasks={"hedge": 2, "rebalance": 1, "buy": 1}, hand_offs={"hedge": "ForexAgent_B"}),
    ]

    def look_up(self, operation):
        """Stands for a market's data service, which has taken the operation's delay to answer."""
        return {"task": operation.task, "price": round(self.random.uniform(10, 500), 2), "spread": 0.02}

    def act(self, operation, reply):
        """Stands for placing the order."""
        return {"order": operation.number, "note": reply.text[:40]}


@events.init_command_line_parser.add_listener
def add_options(parser):
    TradingDesk.add_options(parser)
