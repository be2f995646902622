"""Every command of the documents that calls the API is run against a server, by somebody who may."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.cast import Cast
from tests.docs.documents import blocks, commands

pytestmark = pytest.mark.django_db(transaction=True)

As = Callable[..., dict[str, str]]
ALL = sorted({(block.document, command) for block in blocks("sh") for command in commands(block)})
CURL = [command for _document, command in ALL if command.startswith("curl ")]


def test_there_are_such_commands() -> None:
    assert len(CURL) >= 3


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("command", CURL)
def test_a_call_of_the_documents_is_answered(cast: Cast, as_: As, command: str) -> None:
    cast.confirmed()
    run = subprocess.run(["sh", "-euc", command], env=as_("ada"), capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr
    if "updateApproval" not in command:
        assert json.loads(run.stdout)
