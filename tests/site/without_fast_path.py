"""Serves the product, and Django answers every call. The calls of the decision point are otherwise answered earlier."""

from __future__ import annotations

from typing import Any

# This import sets the product up, so it comes first.
from lockbox_site.rsgi import application as application  # isort: skip
from lockbox_site.serving.fast_path import FastPath


def _none(_path: FastPath, *_args: Any) -> None:
    return None


# The server makes its object after this.
FastPath.call_of = _none  # type: ignore[method-assign,assignment]
