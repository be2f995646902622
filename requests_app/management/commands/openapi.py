"""`manage.py openapi`: write docs/openapi.json and the Python client that is made from it; `--check` compares."""

from __future__ import annotations

import ast
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import translation

from requests_app.doors.api import reader

DOCUMENT, CLIENT = Path("docs") / "openapi.json", Path("clients") / "python" / "lockbox_client"
_GENERATOR = ("openapi-python-client", "generate", "--meta", "none", "--overwrite")
#: Beside the package, so that whoever installs another version of the generator sees what it was told.
_CONFIG = CLIENT.parent / "generator.yml"


class Command(BaseCommand):
    help = "Write docs/openapi.json from the code, and the Python client from that."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")

    def handle(self, *args: Any, **options: Any) -> None:
        root: Path = settings.BASE_DIR
        with tempfile.TemporaryDirectory() as place:
            document, client = Path(place) / "openapi.json", Path(place) / CLIENT.name
            document.write_text(text())
            generate(document, client, root / _CONFIG)
            if options["check"]:
                self._compare(root, document, client)
                return
            shutil.copy(document, root / DOCUMENT)
            shutil.rmtree(root / CLIENT, ignore_errors=True)
            shutil.copytree(client, root / CLIENT)
        self.stdout.write(f"{DOCUMENT} and {CLIENT} are written.")

    def _compare(self, root: Path, document: Path, client: Path) -> None:
        stale = [] if _same(document, root / DOCUMENT) else [str(DOCUMENT)]
        stale += [f"{CLIENT}/{name}" for name in differing(client, root / CLIENT)]
        if stale:
            self.stderr.write("Out of date: " + ", ".join(stale[:10]))
            self.stderr.write("Write them: python manage.py openapi")
            sys.exit(1)


def text() -> str:
    """The document as it is committed. Its order is that of the code, so what changed is what a diff shows."""
    with translation.override("en"):
        return json.dumps(reader.document(), indent=1, ensure_ascii=False) + "\n"


def generate(document: Path, to: Path, config: Path) -> None:
    """Make the package with the pinned generator. Neither the network nor this installation's settings go into it."""
    own = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    program = shutil.which(_GENERATOR[0], path=own)
    if program is None:
        raise CommandError("The generator is not installed; it is in requirements-dev.txt.")
    words: list[str | Path] = [program, *_GENERATOR[1:], "--path", document, "--config", config, "--output-path", to]
    run = subprocess.run(  # noqa: S603 - the words are this command's own
        words, cwd=document.parent, env={**os.environ, "PATH": own}, capture_output=True, text=True
    )
    # A route that it leaves out is a warning to the generator.
    if run.returncode != 0 or "Warning" in run.stdout + run.stderr:
        raise CommandError(f"The generator failed.\n{run.stdout}{run.stderr}")
    _import_on_demand(to / "models" / "__init__.py")


def _import_on_demand(models: Path) -> None:
    """Import each model when it is first asked for: a program that needs three of them does not wait for hundreds."""
    written = models.read_text()
    imports = [node for node in ast.parse(written).body if isinstance(node, ast.ImportFrom)]
    where = {alias.name: str(node.module) for node in imports for alias in node.names}
    lines = written.splitlines()
    first, last = imports[0].lineno - 1, max(node.end_lineno or 0 for node in imports)
    shown = ["    " + line if line else "" for line in lines[first:last]]
    table = [f'    "{name}": "{module}",' for name, module in where.items()]
    made = [*lines[:first], *_ON_DEMAND[0], *shown, *_ON_DEMAND[1], *table, *_ON_DEMAND[2], *lines[last:]]
    models.write_text("\n".join(made) + "\n")


#: What stands before what a type checker sees, before the table of the models' modules, and behind it.
_ON_DEMAND = (
    ["from importlib import import_module", "from typing import TYPE_CHECKING, Any", "", "if TYPE_CHECKING:"],
    ["", "_WHERE = {"],
    [
        "}",
        "",
        "",
        "def __getattr__(name: str) -> Any:",
        "    if name not in _WHERE:",
        '        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")',
        '    return getattr(import_module(f".{_WHERE[name]}", __name__), name)',
        "",
    ],
)


def differing(made: Path, there: Path) -> Iterator[str]:
    """The files of two directories that are not the same, or not in both."""
    names = {path.relative_to(place) for place in (made, there) for path in _sources(place)}
    for name in sorted(names):
        if not _same(made / name, there / name):
            yield str(name)


def _sources(place: Path) -> Iterator[Path]:
    return (path for path in place.rglob("*") if path.is_file() and path.suffix != ".pyc")


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)
