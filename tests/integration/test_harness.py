"""The harness itself notices what the other tests rely on it to notice."""

from __future__ import annotations

import pytest

from harness import processes_of

PLAIN = """
import subprocess
import sys

from locust import User, task

subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)


class Idle(User):
    @task
    def nothing(self):
        self.environment.runner.quit()
"""


def test_a_process_left_behind_fails_the_test_and_is_ended(start):
    """An orphan in a session of its own is found, named and killed."""
    test = start(PLAIN)
    with pytest.raises(AssertionError, match=r"still alive:\n.*time\.sleep"):
        test.finish()
    assert processes_of(test.mark) == []
