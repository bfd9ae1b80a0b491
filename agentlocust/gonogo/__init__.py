"""Go or no-go: a checklist whose items are bound to evidence, and the one verdict they make together."""
