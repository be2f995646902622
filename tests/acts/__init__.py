"""The cases of all acts, one module for each module of declarations. All modules in this directory are found.

The name of a case is that of its act and, if needed, what is special: "remove_client by staff, of a tenant".
"""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import iter_modules

from tests.acts.case import Case

CASES: dict[str, Case] = {}
for _module in iter_modules(__path__):
    for _name, _case in getattr(import_module(f"{__name__}.{_module.name}"), "CASES", {}).items():
        assert _name not in CASES, f"{_name} is a case twice"
        CASES[_name] = _case


def act_of(name: str) -> str:
    """Return the name of a case's act."""
    return re.split(r" by |, ", name)[0]
