"""Fixtures for the files that the server's commands read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cast import Cast


@pytest.fixture
def write(tmp_path: Path) -> Path:
    return tmp_path / "world.yaml"


@pytest.fixture
def early(cast: Cast) -> Cast:
    """Return the cast before any tenant has ever had Lockbox on."""
    cast.peaceful()
    return cast


@pytest.fixture
def two(cast: Cast) -> Cast:
    cast.colleague()
    return cast
