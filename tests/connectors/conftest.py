"""Fixtures for the tests of the connectors. None of them needs a database."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.cases import CASES, Case


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """Run the test once with each connector, on new resources."""
    return CASES[request.param](tmp_path / "content")


@pytest.fixture
def no_descriptor_left() -> Iterator[None]:
    """Fail if a test leaves a file or folder open.

    A server with such a fault would run out of descriptors after a while.
    """
    before = _open_descriptors()
    yield
    assert _open_descriptors() == before


def _open_descriptors() -> set[str]:
    descriptors = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue  # the descriptor that lists the directory
    return descriptors
