"""Data lies beside the package in a checkout and inside it in a wheel, never anywhere else."""

from __future__ import annotations

import pytest

from agentlocust import datafiles
from agentlocust.datafiles import data_dir


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "agentlocust"
    folder.mkdir()
    monkeypatch.setattr(datafiles, "_PACKAGE", folder)
    return folder


def test_this_checkout_has_its_prices():
    """The folder that the tests run from holds the tables."""
    assert (data_dir("pricing") / "openai.yaml").is_file()


def test_a_checkout_wins_over_a_stale_copy(package):
    """With a project file beside it, the folder beside the package is used."""
    (package / "_data" / "pricing").mkdir(parents=True)
    (package.parent / "pricing").mkdir()
    (package.parent / "pyproject.toml").touch()
    assert data_dir("pricing") == package.parent / "pricing"


def test_a_strangers_folder_in_site_packages_is_not_ours(package):
    """An installed package reads its own data, although another top-level `pricing` lies beside it."""
    (package / "_data" / "pricing").mkdir(parents=True)
    (package.parent / "pricing").mkdir()
    assert data_dir("pricing") == package / "_data" / "pricing"


def test_missing_data_says_so(package):
    """A broken installation is named, with what to do."""
    with pytest.raises(FileNotFoundError, match="locustfiles folder is missing: install"):
        data_dir("locustfiles")
