"""Puts this folder on the import path, so that tests can `from chaingen.builder import ChainBuilder`.

Public test vectors are data that is not in this repository: `IOEX_VECTORS` names their folder.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples every time, and no verdict on speed: a loaded machine must not fail a test.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("soak", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("soak" if os.environ.get("IOEX_SOAK") else "suite")


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Give the folder of public test vectors; skip when there is none."""
    folder = os.environ.get("IOEX_VECTORS")
    if not folder:
        pytest.skip("IOEX_VECTORS names no folder of public test vectors")
    return Path(folder)
