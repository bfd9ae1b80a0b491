"""Where the package's data lies: price tables and example locustfiles."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: Literal["pricing", "locustfiles"]) -> Path:
    """The folder `name`: beside the package in a checkout, under `agentlocust/_data/` in a wheel.

    Raises FileNotFoundError when an installation has neither.
    """
    beside, packaged = _PACKAGE.parent / name, _PACKAGE / "_data" / name
    # In site-packages a stranger's folder may bear the same name: only a checkout has the project file.
    checkout = (_PACKAGE.parent / "pyproject.toml").is_file() or not packaged.is_dir()
    for folder in (beside, packaged) if checkout else (packaged,):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"agentlocust's {name} folder is missing: install the package again")
