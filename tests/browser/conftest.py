"""A real browser, when the machine has one."""

from __future__ import annotations

import os
import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Read now: tests see nothing of the shell's settings.
LACK = pytest.fail if os.environ.get("AGENTLOCUST_NEEDS_BROWSER") else pytest.skip


@pytest.fixture
def page():
    """A page of a headless Chromium; with `AGENTLOCUST_NEEDS_BROWSER` a machine that cannot give one fails."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        LACK("playwright is not installed: pip install 'agentlocust[test]'")
    if CHROMIUM is None:
        LACK("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser.new_page(viewport={"width": 1200, "height": 1400})
        finally:
            browser.close()
