"""Gives the built package its dependencies, from which the lock file is compiled too, and the examples in deploy/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

#: What an operator makes in deploy/ to run compose from the source tree. No package may have it.
OF_OPERATOR = ("deploy/.env", "deploy/compose/secrets/")


class Dependencies(MetadataHookInterface):
    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        lines = Path(self.root, "requirements.in").read_text(encoding="utf-8").splitlines()
        wanted = [line.partition(" #")[0].strip() for line in lines]
        metadata["dependencies"] = [line for line in wanted if line and not line.startswith("#")]


class Examples(BuildHookInterface):
    """Carries deploy/ in the wheel. `force-include` would carry the operator's secrets, too: it reads no .gitignore."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build_data["force_include"].update(examples(Path(self.root)))


def examples(root: Path) -> dict[str, str]:
    """Return the files in deploy/, each with its path in the wheel."""
    names = sorted(path.relative_to(root).as_posix() for path in (root / "deploy").rglob("*") if path.is_file())
    return {
        str(root / name): f"lockbox_site/{name}"
        for name in names
        if not name.startswith(OF_OPERATOR) and "__pycache__" not in name
    }
