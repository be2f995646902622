"""Builds the package: generates lockbox_client from the API's OpenAPI document, and adds it to each wheel and sdist."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
PACKAGE = "lockbox_client"
CONFIG = HERE / "generator.yml"
#: In an sdist, the document is beside this file. In the repository, it is in the directory of the other documents.
DOCUMENTS = (HERE / "openapi.json", HERE.parent.parent / "docs" / "openapi.json")
_TIDY = (("check", "--quiet", "--fix", "--select", "F401,I,RUF100"), ("format", "--quiet", "--line-length", "120"))


class GenerationFailed(Exception):
    """The client can't be generated. The text gives the reason."""


class BuildClient(build_py):
    """Adds the generated package to the files of a wheel."""

    def finalize_options(self) -> None:
        super().finalize_options()
        # setuptools would look for the source of this package, but it has none.
        self.packages = [name for name in self.distribution.packages if name != PACKAGE]

    def run(self) -> None:
        super().run()
        # An editable installation reads the package beside the hand-written one, where git ignores it.
        generate(document(), (HERE if self.editable_mode else Path(self.build_lib)) / PACKAGE)


class SourceDistribution(sdist):
    """Adds the OpenAPI document, so that the sdist builds without the repository, and the generated package."""

    def make_release_tree(self, base_dir: str, files: Sequence[str]) -> None:
        super().make_release_tree(base_dir, files)
        shutil.copy(document(), Path(base_dir) / DOCUMENTS[0].name)
        generate(document(), Path(base_dir) / PACKAGE)


def document() -> Path:
    """Return the path of the OpenAPI document."""
    for path in DOCUMENTS:
        if path.is_file():
            return path
    raise GenerationFailed(f"The OpenAPI document is missing: {' or '.join(map(str, DOCUMENTS))}")


def generate(source: Path, to: Path) -> None:
    """Generate the package in the directory `to`, in place of everything that is there. No network is used."""
    with tempfile.TemporaryDirectory() as place:
        # The generator and the formatter look for settings in the directories above. There are none above this one.
        made = Path(place) / PACKAGE
        words = [
            "generate",
            "--meta",
            "none",
            "--path",
            str(source),
            "--config",
            str(CONFIG),
            "--output-path",
            str(made),
        ]
        said = _run("openapi_python_client", *words, within=place)
        # If the generator leaves out a route, it only prints a warning.
        if "Warning" in said:
            raise GenerationFailed(said)
        _import_on_demand(made / "models" / "__init__.py")
        for command, *options in _TIDY:
            _run("ruff", command, "--isolated", "--no-cache", *options, PACKAGE, within=place)
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(made, to)


def _run(module: str, *words: str, within: str) -> str:
    """Run a module with this Python, which can be that of a build environment. Return the module's output."""
    command = [sys.executable, "-m", module, *words]
    run = subprocess.run(command, cwd=within, capture_output=True, text=True)  # noqa: S603 - the words are this file's
    if run.returncode != 0:
        raise GenerationFailed(f"{module} failed. It is in [build-system] of pyproject.toml.\n{run.stdout}{run.stderr}")
    return run.stdout + run.stderr


def _import_on_demand(models: Path) -> None:
    """Change the package so that it imports each model at its first use.

    Else a program waits for hundreds of models.
    """
    written = models.read_text()
    imports = [node for node in ast.parse(written).body if isinstance(node, ast.ImportFrom)]
    if not imports:
        return
    where = {alias.name: str(node.module) for node in imports for alias in node.names}
    lines = written.splitlines()
    first, last = imports[0].lineno - 1, max(node.end_lineno or 0 for node in imports)
    shown = ["    " + line if line else "" for line in lines[first:last]]
    table = [f'    "{name}": "{module}",' for name, module in where.items()]
    made = [*lines[:first], *_ON_DEMAND[0], *shown, *_ON_DEMAND[1], *table, *_ON_DEMAND[2], *lines[last:]]
    models.write_text("\n".join(made) + "\n")


#: The lines before the imports that a type checker reads, before the table of the models' modules, and after this
#: table.
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


if __name__ == "__main__":
    generate(document(), Path(sys.argv[1]))
