"""Runs the program as `python -m lockbox_cli`."""

from __future__ import annotations

import sys

from lockbox_cli.main import main

sys.exit(main())
