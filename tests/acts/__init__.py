"""The cases of all acts. Each module of declarations in the product has one module of cases here.

All modules in this directory are loaded. A case is named after its act. If an act has several cases, the name also says
what is special: "remove_client by staff, of a tenant".
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
    """Return the name of the act that is tested by the case with this name."""
    return re.split(r" by |, ", name)[0]
