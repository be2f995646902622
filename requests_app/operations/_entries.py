"""Says who acts, and by which words the search of the log finds an entry, in the form that an entry stores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from requests_app.domain.actors import Actor
from requests_app.domain.ids import as_id

#: The parts of an entry's detail that people search for: a proposal, old and new values, locators, a file's hash.
_SEARCHED = ("said", "set", "was", "locator", "import_sha")
#: The most text that an entry is found by. It is longer than any name and any locator.
_SEARCHED_CHARS = 4_000


def searched(text: str, detail: dict[str, Any]) -> str:
    """Return the text by which the search of the log finds an entry: what the act says, and the values in the entry."""
    found = [leaf for name in _SEARCHED if name in detail for leaf in _leaves(detail[name])]
    more = dict.fromkeys(leaf for leaf in found if leaf not in text and as_id(leaf) is None)
    return " ".join(filter(None, (text, *more)))[:_SEARCHED_CHARS] if more else text


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)


def described(actor: Actor, *, decides: bool = False) -> dict[str, Any]:
    """Return who acts, in the form that an entry stores.

    For a client, the key `for` has the person in whose name the client acts: an engineer who asks, or an approver.
    """
    machine = actor.machine
    if machine is None:
        kind = "person" if actor.is_person else "system"
        who = str(actor.person_id) if actor.person_id else None
        return {"kind": kind, "id": who, "name": actor.name, "side": str(actor.side), "email": actor.email}
    found: dict[str, Any] = {
        "kind": "client",
        "id": str(machine.account_id),
        "name": machine.name,
        "side": str(actor.side),
        "email": "",
    }
    if decides and machine.decides_for is not None:
        whose = {"id": str(machine.decides_for), "name": machine.decides_for_name, "email": machine.decides_for_email}
    elif actor.person_id != machine.account_id:
        whose = {"id": str(actor.person), "name": actor.name, "email": actor.email}
    else:
        return found
    return {**found, "for": whose}
