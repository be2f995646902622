"""The cases of all acts: each module of declarations has one module here. All modules in this directory are loaded.

The name of a case is the name of its act, with what is special if needed: "remove_client by staff, of a tenant".
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
    """Return the name of the act from the name of a case."""
    return re.split(r" by |, ", name)[0]
