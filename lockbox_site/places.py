"""Knows where the files are that the running product needs: in the source tree, or inside the installed package.

In the source tree, `templates`, `static` and the others are beside the packages. The wheel has them at the same paths
inside `lockbox_site`, because every project on a machine shares the top level of site-packages (pyproject.toml lists
them). Nothing else of the source tree exists in an installation, so nothing at run time may read it.
"""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
IS_WHEEL = (PACKAGE / "templates").is_dir()
#: The directory with all that follows. An installation must not write into it.
HOME = PACKAGE if IS_WHEEL else PACKAGE.parent

TEMPLATES = HOME / "templates"
STATIC = HOME / "static"
LOCALE = HOME / "locale"
#: The program with which customers verify evidence. It needs no other file.
VERIFIER = HOME / "verify" / "lockbox_verify.py"
#: Units for systemd, and examples for proxies and monitoring.
DEPLOY = HOME / "deploy"
#: The directory that has the package `lockbox_guard`, for the demo.
GUARD = HOME / "clients" / "guard-python"

#: The data directory, if DATA_DIR names none.
DATA_DIR = "/var/lib/lockbox" if IS_WHEEL else "var"
#: The beginning of a command line for this Python. With -P, it imports nothing from the current directory.
PYTHON = [sys.executable, "-P"] if IS_WHEEL else [sys.executable]
#: The beginning of a command line for a command of Django. In the source tree, it works in the tree's directory only.
MANAGE = [*PYTHON, "-m", "lockbox_site"] if IS_WHEEL else [*PYTHON, "manage.py"]
#: The command `customer-lockbox`, which an installer puts beside Python.
PROGRAM = Path(sys.executable).with_name("customer-lockbox") if IS_WHEEL else HOME / "bin" / "customer-lockbox"
#: The directory in which the parts of the product run. The web server imports from it, so only root may write there.
WORKING_DIRECTORY = Path("/") if IS_WHEEL else HOME


def path_from(raw: str, *, data: Path) -> Path:
    """Return an absolute path. A relative one starts at the source tree, or at the data directory of a wheel."""
    return ((data if IS_WHEEL else HOME) / raw).resolve()
