"""A roster of named agents at work at once: exactly so many operations each, drawn from the test's seed."""
