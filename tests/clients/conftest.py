"""A real server with the cast, and environments of shells that have a token."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from requests_app.domain.scopes import Scope
from requests_app.doors.api import quota
from tests import ground
from tests.caller import token_of
from tests.cast import Cast
from tests.clients import generated, package
from tests.clients.terminal import Shell

# The tests of this directory import the package when pytest collects them.
generated.make_importable()

Environment = dict[str, str]


@pytest.fixture(autouse=True)
def _quotas_are_full() -> None:
    quota.CALLS.clear()


@pytest.fixture(scope="session")
def installed() -> Path:
    """Return the directory into which pip has installed `lockbox` and all that it requires.

    One installation serves all processes of a run. pip builds it in an environment of its own, without an index.
    """
    place = ground.place() / "lockbox"
    with ground.one_at_a_time():
        if not (place / "is-there").exists():
            package.pack_wheels([*package.BUILD_REQUIRES, *package.REQUIRES], place / "wheels")
            package.install(package.clone(place / "clone"), place / "installed", "--find-links", str(place / "wheels"))
            (place / "is-there").touch()
        return place / "installed"


@pytest.fixture
def as_(live_server: LiveServer, cast: Cast, tmp_path: Path, installed: Path) -> Callable[..., Environment]:
    """Return a function: `as_("ada")` is the environment of a shell with Ada's token.

    The environment has none of this machine's own settings.
    """

    def environment(name: str, *scopes: Scope, fresh: bool = True) -> Environment:
        return {
            "PATH": f"{installed / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(installed),
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
            "LOCKBOX_URL": live_server.url,
            "LOCKBOX_TOKEN": token_of(cast, name, *scopes, fresh=fresh),
            "TENANT": str(cast.contoso.pk),
        }

    return environment


@pytest.fixture
def shell(as_: Callable[..., Environment]) -> Callable[..., Shell]:
    """Return a function: `shell("ada")` is a shell whose environment has Ada's token."""
    return lambda name, *scopes, fresh=True: Shell(as_(name, *scopes, fresh=fresh))
