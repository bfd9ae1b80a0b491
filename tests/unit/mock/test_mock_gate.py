"""What a refused client is told is enough."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from agentlocust.mock.gate import whole_ms


@given(st.floats(1e-6, 3600))
def test_a_wait_in_whole_milliseconds_is_never_short(wait: float) -> None:
    """Neither the header in milliseconds nor the one in seconds is earlier than the token."""
    found = whole_ms(wait)
    assert int(found * 1000) == math.ceil(wait * 1000)
    assert wait <= math.ceil(found) <= math.ceil(wait + 0.001)
