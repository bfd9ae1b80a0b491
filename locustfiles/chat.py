"""The smallest: one question at a time to a chat model.

locust -f locustfiles/chat.py --headless -u 5 -t 10s
"""

from locust import between, task

from agentlocust import OpenAIUser


class Chat(OpenAIUser):
    model = "gpt-4o-mini"
    wait_time = between(0.5, 1.5)

    @task
    def ask(self):
        self.chat("Name one thing that every load test should measure.")
