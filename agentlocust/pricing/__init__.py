"""What a call costs: price tables, their history and tiers, in exact integers.

`PriceBook.load()` reads the tables that come with the package and a user's own files over them;
`book.price(model)` finds a model's price or None (then a call is `unpriced`, never $0); and
`price.cost(usage)` is a whole number of pico-dollars. Only tokens are priced: fees per request
(web search, storage, a host's own fee per call) and audio, image or video rates are not.
"""

from __future__ import annotations

from agentlocust.pricing.book import PriceBook
from agentlocust.pricing.price import Line, Price

__all__ = ["Line", "Price", "PriceBook"]
