"""A paper exchange: a process of its own that trades no money, misbehaves by a script, and knows what was done."""
