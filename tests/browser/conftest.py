"""A real browser, when the machine has one."""

from __future__ import annotations

import os
import shutil

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install 'agentlocust[test]'")
from playwright.sync_api import sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def page():
    """A page of a headless Chromium; with `AGENTLOCUST_NEEDS_BROWSER` a machine without one fails."""
    if CHROMIUM is None:
        message = "no Chromium on this machine"
        if os.environ.get("AGENTLOCUST_NEEDS_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser.new_page(viewport={"width": 1200, "height": 1400})
        finally:
            browser.close()
