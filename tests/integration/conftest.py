"""Fixtures of the tests that run the real `locust` command."""

from __future__ import annotations

import contextlib

import pytest

import harness


@pytest.fixture
def mock_server(tmp_path):
    """Starts mocks that behave as a spec says and outlive the tests they answer; stopped afterwards."""
    with contextlib.ExitStack() as stack:
        yield lambda spec, **settings: stack.enter_context(harness.MockServer(tmp_path, spec, **settings))


@pytest.fixture
def start(tmp_path):
    """Starts the real `locust` command; whatever happens, nothing of it stays alive."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **settings: stack.enter_context(harness.LocustTest(tmp_path, *args, **settings))
