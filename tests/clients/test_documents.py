"""Every documented command that calls the API works against a server, with a caller who has permission."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from lockbox_cli import arguments
from tests.cast import Cast
from tests.docs.documents import ROOT, blocks, commands
from tests.offenders import collected

pytestmark = pytest.mark.django_db(transaction=True)

As = Callable[..., dict[str, str]]
ALL = sorted({(block.document, command) for block in blocks("sh") for command in commands(block)})
CURL = [command for _document, command in ALL if command.startswith("curl ")]
LOCKBOX = [command for _document, command in ALL if command.startswith("lockbox ")]
#: A line that a reader types, without its output.
_TYPED = re.compile(r"^\$ (lockbox .*?)(?: < .*)?$", re.MULTILINE)
_SPANS = re.compile(r"`(lockbox [^`…]+)`")
_LISTS = re.compile(r"`(list [^`…]+)`")


def test_there_are_such_commands() -> None:
    assert len(CURL) >= 3
    assert len(LOCKBOX) >= 4


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("command", CURL)
def test_a_call_of_the_documents_is_answered(cast: Cast, as_: As, command: str) -> None:
    cast.confirmed()
    run = subprocess.run(["sh", "-euc", command], env=as_("ada"), capture_output=True, text=True, timeout=150)
    assert run.returncode == 0, run.stderr
    if "updateApproval" not in command:
        assert json.loads(run.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("command", LOCKBOX)
def test_a_command_of_the_documents_succeeds(cast: Cast, as_: As, tmp_path: Path, command: str) -> None:
    environment = as_("ada") | {"REQUEST": cast.confirmed().reference}
    words = ["sh", "-euc", command]
    run = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=150)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout or (tmp_path / command.rpartition("> ")[2]).stat().st_size


def typed() -> list[list[str]]:
    """Return the words of each documented command that no test runs.

    An example id replaces each placeholder.
    """
    text = (ROOT / "docs" / "command-line.md").read_text()
    lists = [f"lockbox requests {each}" for each in _LISTS.findall(text)]
    shown = [*_TYPED.findall(text), *_SPANS.findall(text), *lists]
    return [shlex.split(re.sub(r"\b(TICKET|RESOURCE)\b", str(UUID(int=1)), line))[1:] for line in shown]


def test_documented_commands_are_understood() -> None:
    with collected() as case:
        for words in typed():
            with case(words):
                assert arguments.parser().parse_args(words)


def test_there_are_such_words() -> None:
    assert len(typed()) >= 16
