"""The scenarios: what each promises, what goes wrong in it, and the limits that an agent is held to."""

from __future__ import annotations

from paper_trials import measures
from paper_trials.scenario import Event, Rule, Scenario

BUY = ((0.0, ("buy",)),)
ORDERS = "POST /orders"
NO_CRASH = Rule("crashes", "==", 0, "the agent crashed")
NO_DOUBLES = Rule("duplicate_orders", "==", 0, "{value:.0f} orders were executed a second time")
FAULTS_MET = Rule("faults_met", ">=", 1, "nothing went wrong: the agent never did what was to fail")
EXECUTED = Rule("executed", ">=", 1, "no order was executed: nothing was at stake")
RECOVERED = Rule("recovered", ">=", 1, "nothing went well after the trouble was over")


def _rate(name: str, promise: str, tick_s: float, least: float) -> Scenario:
    return Scenario(
        name,
        promise,
        (
            NO_CRASH,
            Rule("rate_per_minute", ">=", least, "only {value:.0f} requests a minute were made"),
            Rule("failed_requests", "==", 0, "{value:.0f} requests failed"),
        ),
        measures.rate,
        duration_s=120,
        tick_s=tick_s,
        speed=10,
    )


_ALL = (
    Scenario(
        "flash_crash",
        "the price falls by 40% in ten seconds: drawdown under 5%, no market orders into the crash",
        (
            NO_CRASH,
            Rule("drawdown", "<", 0.05, "the account fell by {value:.1%} from its peak"),
            Rule("market_orders_in_crash", "==", 0, "{value:.0f} market orders went into the crash"),
            EXECUTED,
        ),
        measures.crash,
        session="flash_crash",
        duration_s=240,
        says=((0.0, ("buy",)), (60.0, ("buy", "sell"))),
    ),
    Scenario(
        "rate_limit_storm",
        "the exchange answers 429 for 30 s: fewer than 20 attempts, with growing gaps",
        (
            NO_CRASH,
            Rule("storm_attempts", "<", 20, "{value:.0f} attempts in the 30 s of the storm"),
            Rule("backoff_growth", ">=", 1.5, "the last gaps were {value:.2f} times the first: no back-off"),
            Rule("shortest_gap_s", ">=", 2, "an attempt came {value:.3f} s after the last: Retry-After said 2 s"),
            RECOVERED,
        ),
        measures.storm(10, 40),
        duration_s=90,
        speed=10,
        faults=({"do": "rate_limit", "from_s": 10, "to_s": 40, "seconds": 2},),
    ),
    Scenario(
        "network_partition",
        "an order is executed and its confirmation lost: no duplicate order",
        (NO_CRASH, NO_DOUBLES, FAULTS_MET, EXECUTED),
        measures.doubles,
        session="bull_run",
        says=BUY,
        faults=({"do": "lose_reply", "on": ORDERS, "times": 2},),
    ),
    Scenario(
        "server_error",
        "an order is answered 500, executed or not: the agent looks before it sends anything again",
        (
            NO_CRASH,
            NO_DOUBLES,
            Rule("blind_retries", "==", 0, "{value:.0f} orders were sent after a failed one without a look"),
            FAULTS_MET,
            EXECUTED,
        ),
        measures.doubles,
        session="bull_run",
        says=BUY,
        duration_s=90,
        faults=(
            {"do": "error_after", "on": ORDERS, "times": 1},
            {"do": "error_before", "on": ORDERS, "times": 1},
        ),
    ),
    Scenario(
        "stuck_position",
        "an order to close is taken and never executed: an alert within one reconcile interval, 30 s",
        (
            NO_CRASH,
            Rule("closes_sent", ">=", 1, "the position was never to be closed"),
            Rule("alert_delay_s", "<=", 31, "no alert within 30 s that the position is stuck open"),
        ),
        measures.stuck,
        duration_s=90,
        position="0.1",
        says=((0.0, ("sell",)),),
        faults=({"do": "stall", "on": ORDERS},),
    ),
    Scenario(
        "delayed_replies",
        "orders take 8 s to arrive and be answered: they are timed out, and none is executed late",
        (
            NO_CRASH,
            FAULTS_MET,
            NO_DOUBLES,
            Rule("stale_orders", "==", 0, "{value:.0f} orders were executed more than 5 s after they were signed"),
            Rule("slowest_tick_s", "<", 7.5, "the agent hung for {value:.1f} s"),
        ),
        measures.stale,
        duration_s=60,
        speed=5,
        says=BUY,
        faults=({"do": "delay", "on": ORDERS, "to_s": 40, "seconds": 8},),
    ),
    Scenario(
        "malformed_reply",
        "replies are cut, empty, HTML, or of wrong types: the agent goes on",
        (NO_CRASH, Rule("faults_met", ">=", 8, "only {value:.0f} malformed replies were met"), RECOVERED),
        measures.garbled,
        duration_s=240,
        faults=(
            {"do": "malformed", "on": "GET /ticker", "from_s": 5, "times": 8},
            {"do": "malformed", "on": ORDERS, "from_s": 5, "times": 2},
            {"do": "malformed", "on": "GET /fills", "from_s": 5, "times": 1},
        ),
    ),
    Scenario(
        "precision",
        "an order is executed in 10,000 micro-trades: the agent's cash is right to 0.000001",
        (
            NO_CRASH,
            Rule("trades", ">=", 10_000, "only {value:.0f} trades were made"),
            Rule("cash_error", "<=", 1e-6, "the agent's cash is wrong by {value:.6f}"),
        ),
        measures.sums,
        duration_s=20,
        says=BUY,
        faults=({"do": "split", "on": ORDERS, "times": 1, "pieces": 10_000},),
    ),
    Scenario(
        "flat_market",
        "ten minutes within 0.1%, and a model that wants to trade all the time: fewer than 20 trades",
        (NO_CRASH, Rule("trades", "<", 20, "{value:.0f} trades in a market that went nowhere")),
        measures.trades,
        session="sideways",
        duration_s=600,
        says=((0.0, ("buy", "sell")),),
    ),
    Scenario(
        "dns_failure",
        "the exchange's name is not resolved for 30 s: orders are queued, and go out afterwards",
        (
            NO_CRASH,
            NO_DOUBLES,
            Rule("advised", ">=", 1, "nothing was to be ordered during the outage"),
            Rule("sent_afterwards", ">=", 1, "no order of the outage went out after it"),
        ),
        measures.queued(20, 50),
        session="bull_run",
        duration_s=120,
        says=((0.0, ("hold",)), (20.0, ("buy",)), (50.0, ("hold",))),
        events=(Event(20, "dns_down"), Event(50, "dns_up")),
    ),
    Scenario(
        "clock_jump",
        "the agent's wall clock jumps by five minutes: signed requests, good for 30 s, do not expire",
        (
            NO_CRASH,
            Rule("expired_requests", "==", 0, "{value:.0f} signed requests had expired when they came"),
            Rule("orders_after", ">=", 1, "no order was taken after the jump"),
        ),
        measures.signed(30),
        session="bull_run",
        duration_s=120,
        says=((0.0, ("hold",)), (30.0, ("buy",))),
        events=(Event(30, "clock_jump", 300),),
    ),
    Scenario(
        "log_disk_full",
        "the disk of the log is full: the agent goes on, and says so",
        (
            NO_CRASH,
            Rule("requests_after", ">=", 30, "only {value:.0f} requests were made once the disk was full"),
            Rule("alerts", ">=", 1, "nobody was told that the log cannot be written"),
        ),
        measures.undisturbed(20),
        duration_s=80,
        says=((0.0, ("hold",)), (20.0, ("buy",))),
        events=(Event(20, "disk_full"),),
    ),
    Scenario(
        "daily_loss_limit",
        "the account loses 3%: all trading halts, and a person is told",
        (
            NO_CRASH,
            Rule("limit_reached", ">=", 1, "the limit was never reached"),
            Rule("orders_after", "==", 0, "{value:.0f} orders were sent after the loss limit"),
            Rule("alerts", ">=", 1, "nobody was told of the loss limit"),
        ),
        measures.halted(0.03),
        session="slide",
        duration_s=300,
        cash="60000",
        position="0.66",
        says=BUY,
    ),
    Scenario(
        "session_replay",
        "a recorded day, with what the model said then: profit and loss within the band",
        (
            NO_CRASH,
            # A quarter of a percent of the account, either way: as much as orders of 2% can do on such a day.
            Rule("pnl", ">=", -250, "the session lost ${value:.2f}: more than the band"),
            Rule("pnl", "<=", 250, "the session made ${value:.2f}: more than the band"),
            Rule("trades", ">=", 3, "only {value:.0f} trades were made"),
        ),
        measures.result,
        session="recorded_day",
        duration_s=600,
        says=None,
    ),
    _rate("sustained_rate", "100 requests a minute for two minutes, none of them fails", 0.6, 100),
    _rate("double_rate", "200% of the expected rate for two minutes, none of the requests fails", 0.3, 200),
    Scenario(
        "normal_work",
        "ordinary work, five minutes: at most 60% of the rate limit is used",
        (
            NO_CRASH,
            Rule("rate_per_minute", ">=", 30, "only {value:.0f} requests a minute were made"),
            Rule("failed_requests", "==", 0, "{value:.0f} requests failed"),
            Rule("limit_used", "<=", 0.6, "{value:.0%} of the rate limit was used"),
        ),
        measures.rate,
        duration_s=300,
    ),
)

SCENARIOS = {scenario.name: scenario for scenario in _ALL}
METRICS = tuple(sorted({rule.metric for scenario in _ALL for rule in scenario.rules}))
