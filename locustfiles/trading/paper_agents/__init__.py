"""Agents that trade on paper: what each is given, a reference to replace by yours, and one that does all wrong."""
