"""Follows a document from top to bottom, as a reader with one shell does."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.docs.documents import Block, blocks

#: How many seconds one block may take. A block waits only for a server on this machine.
WITHIN = 150
_FILE = re.compile(r"# ([\w-]+\.py)$")
#: Each block has its own shell. The shell loads the variables and functions of the block before, and stops at the first
#: failure.
_SHELL = """set -euo pipefail
if [ -f .shell ]; then . ./.shell; fi
set -a
{text}
set +a
{{ export -p; declare -f; }} > .shell
"""


class Walk:
    """Runs the `bash` blocks of a document in order, in one directory.

    Variables and functions stay from block to block. If the first line of a `python` block is a comment with a file
    name, the block is written to this file. `close()` ends the programs that the blocks have started.
    """

    def __init__(self, document: str, place: Path, environment: dict[str, str]) -> None:
        self.place, self.environment = place, environment
        found = [each for kind in ("bash", "python") for each in blocks(kind) if each.document == document]
        self._left: list[Block] = sorted(found, key=lambda each: each.line)
        self._sessions: list[int] = []

    def until(self, words: str) -> str:
        """Run the blocks before the first block that contains these words. Return their output."""
        shown = ""
        while words not in self._left[0].text:
            shown += self.step()
        return shown

    def rest(self) -> str:
        return "".join(self.step() for _ in list(self._left))

    def step(self) -> str:
        block = self._left.pop(0)
        if block.language == "bash":
            return self._run(block)
        if name := _FILE.match(block.text.partition("\n")[0]):
            (self.place / name[1]).write_text(block.text + "\n")
        return ""

    def _run(self, block: Block) -> str:
        # Use files, because a program that continues would keep a pipe open.
        shown, faults = self.place / ".shown", self.place / ".faults"
        with shown.open("w") as out, faults.open("w") as err:
            shell = subprocess.Popen(
                ["bash", "-c", _SHELL.format(text=block.text)],
                cwd=self.place,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            self._sessions.append(shell.pid)
            status = shell.wait(WITHIN)
        output = shown.read_text()
        assert status == 0, f"{block.document}:{block.line}\n{output}\n{faults.read_text()}"
        return output

    def close(self) -> None:
        for session in self._sessions:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(session, signal.SIGTERM)


@contextlib.contextmanager
def walking(document: str, place: Path, environment: dict[str, str]) -> Iterator[Walk]:
    place.mkdir(parents=True, exist_ok=True)
    walk = Walk(document, place, environment)
    try:
        yield walk
    finally:
        walk.close()
