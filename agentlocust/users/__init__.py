"""User classes: Locust users whose LLM calls, tools and agent runs are measured."""
