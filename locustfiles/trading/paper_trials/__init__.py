"""The trials of a trading agent: scenarios, what is measured of each, and the limits it is judged by."""
