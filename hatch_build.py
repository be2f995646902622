"""Gives the built package its dependencies: those of requirements.in, from which the lock file is compiled too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Dependencies(MetadataHookInterface):
    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        lines = Path(self.root, "requirements.in").read_text(encoding="utf-8").splitlines()
        wanted = [line.partition(" #")[0].strip() for line in lines]
        metadata["dependencies"] = [line for line in wanted if line and not line.startswith("#")]
