"""The operations: the only code that changes rows of the domain. Pages, API, administration and tasks call them.

Each operation takes an actor. This package exports every public name that its modules define: the operations, and the
types that they take or return. Two modules can't define the same name. Callers import the modules `content`, `streams`
and `sweeps` directly.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from requests_app.domain.acts.declaration import Act as Act
from requests_app.domain.manifest import Signed as Signed
from requests_app.domain.policy import LOG_READERS as LOG_READERS
from requests_app.identity.sso.asserted import AssertedIdentity as AssertedIdentity
from requests_app.operations import content as content
from requests_app.operations import streams as streams
from requests_app.operations import sweeps as sweeps
from requests_app.operations._decision_lane import DecisionLane as DecisionLane
from requests_app.operations._directory import Profile as Profile

if TYPE_CHECKING:
    # For type checkers, which do not run the code. One line for each module, however many operations it has.
    from requests_app.operations.acceptances import *
    from requests_app.operations.access_drafts import *
    from requests_app.operations.access_requests import *
    from requests_app.operations.accounts import *
    from requests_app.operations.addresses import *
    from requests_app.operations.approval_pages import *
    from requests_app.operations.checks import *
    from requests_app.operations.codes import *
    from requests_app.operations.deputies import *
    from requests_app.operations.directory import *
    from requests_app.operations.discovery import *
    from requests_app.operations.evaluation import *
    from requests_app.operations.gate_cuts import *
    from requests_app.operations.gates import *
    from requests_app.operations.grant_tokens import *
    from requests_app.operations.grants import *
    from requests_app.operations.guards import *
    from requests_app.operations.guide import *
    from requests_app.operations.idempotency import *
    from requests_app.operations.identities import *
    from requests_app.operations.imports import *
    from requests_app.operations.integrations import *
    from requests_app.operations.invitations import *
    from requests_app.operations.level_rules import *
    from requests_app.operations.link_copies import *
    from requests_app.operations.log import *
    from requests_app.operations.log_care import *
    from requests_app.operations.members import *
    from requests_app.operations.mutes import *
    from requests_app.operations.passkeys import *
    from requests_app.operations.plans import *
    from requests_app.operations.practice import *
    from requests_app.operations.proposals import *
    from requests_app.operations.provider_directory import *
    from requests_app.operations.provider_groups import *
    from requests_app.operations.proxies import *
    from requests_app.operations.recovery import *
    from requests_app.operations.refusals import *
    from requests_app.operations.reports import *
    from requests_app.operations.resets import *
    from requests_app.operations.resource_checks import *
    from requests_app.operations.resources import *
    from requests_app.operations.restored import *
    from requests_app.operations.samples import *
    from requests_app.operations.second_factors import *
    from requests_app.operations.services import *
    from requests_app.operations.set_back import *
    from requests_app.operations.set_up import *
    from requests_app.operations.sign_ins import *
    from requests_app.operations.sign_on_keys import *
    from requests_app.operations.sign_on_metadata import *
    from requests_app.operations.signal_polls import *
    from requests_app.operations.signal_streams import *
    from requests_app.operations.single_sign_on import *
    from requests_app.operations.tenant_domains import *
    from requests_app.operations.tenants import *
    from requests_app.operations.tickets import *
    from requests_app.operations.token_keys import *
    from requests_app.operations.webhooks import *
    from requests_app.operations.witnesses import *


def of(act: Act) -> Callable[..., Any]:
    """Return the operation that does this act. Its name is the name of the act."""
    found: Callable[..., Any] = globals()[act.name]
    return found


def _defined() -> dict[str, Any]:
    """Return the public functions and classes that the modules of this package define, by name."""
    found: dict[str, Any] = {}
    for module in iter_modules(__path__):
        if module.name.startswith("_") or module.name in ("content", "streams", "sweeps"):
            continue
        here = import_module(f"{__name__}.{module.name}")
        for name, value in vars(here).items():
            if name.startswith("_") or getattr(value, "__module__", None) != here.__name__:
                continue
            if name in found:
                raise ImportError(f"Two modules of operations define {name}.")
            found[name] = value
    return found


globals().update(_defined())
