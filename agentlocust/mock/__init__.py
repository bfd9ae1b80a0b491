"""The embedded mock LLM: a measuring instrument that speaks four provider APIs and knows the truth.

It runs in a process of its own, on an absolute schedule, from a seed. No gevent and no locust here.
"""
