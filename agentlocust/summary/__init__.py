"""One test as one JSON document: the Summary, which every check and every report reads."""

from agentlocust.summary.build import Phase, TestFacts, build_summary
from agentlocust.summary.model import (
    SCHEMA_VERSION,
    CheckResult,
    Row,
    Summary,
    VerdictModel,
    dump_summary,
    json_schema_text,
    parse_summary,
)
from agentlocust.summary.parts import Stats

__all__ = [
    "SCHEMA_VERSION",
    "CheckResult",
    "Phase",
    "Row",
    "Stats",
    "Summary",
    "TestFacts",
    "VerdictModel",
    "build_summary",
    "dump_summary",
    "json_schema_text",
    "parse_summary",
]
