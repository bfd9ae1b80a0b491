"""What a test must keep to: the grammar of checks, their evaluation on a Summary, and the verdict."""

from agentlocust.sla.evaluate import due, evaluate
from agentlocust.sla.expression import Check, parse_check
from agentlocust.sla.load import Source, load_checks
from agentlocust.sla.slo import Slo
from agentlocust.sla.verdict import decide, worst

__all__ = ["Check", "Slo", "Source", "decide", "due", "evaluate", "load_checks", "parse_check", "worst"]
