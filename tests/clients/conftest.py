"""A real server over the cast's world, and somebody's token in the environment of what calls it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from requests_app.api import quota
from requests_app.scopes import Scope
from tests.caller import token_of
from tests.cast import Cast

Environment = dict[str, str]


@pytest.fixture(autouse=True)
def _quotas_are_full() -> None:
    quota.CALLS.clear()


@pytest.fixture
def as_(live_server: LiveServer, cast: Cast, tmp_path: Path) -> Callable[..., Environment]:
    """`as_("ada")` is the environment of a shell in which Ada's token lies, and nothing of the machine's own."""

    def environment(name: str, *scopes: Scope) -> Environment:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
            "LOCKBOX_URL": live_server.url,
            "LOCKBOX_TOKEN": token_of(cast, name, *scopes),
            "TENANT": str(cast.contoso.pk),
        }

    return environment
