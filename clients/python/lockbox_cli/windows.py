"""`lockbox windows`: lists open windows, and the accesses in each."""

from __future__ import annotations

import argparse
from typing import Any
from uuid import UUID

from lockbox_cli.errors import Refused
from lockbox_cli.output import Cell, Output
from lockbox_cli.requests import ENDS, found, may, resources, when, window
from lockbox_cli.session import Session
from lockbox_cli.text import at, practice
from lockbox_client.api.grants import grants_accesses, grants_list, grants_show

_NAMES = ("REFERENCE", "STATE", "TENANT", "ENGINEER", "MAY", "OPENED", "CLOSES")
_STATES = {"open": Cell("● open", "green"), "closed": Cell("○ closed", "dim")}
_ACCESSED = {
    "list_asked": "requested a list of names",
    "listed": "names listed",
    "opened": "opened",
    "downloaded": "downloaded",
    "failed": "could not be read",
    "cut": "interrupted",
    "list_allowed": "listing through another service allowed",
    "view_allowed": "viewing through another service allowed",
    "read_allowed": "reading through another service allowed",
    "download_allowed": "download through another service allowed",
    "act_as_allowed": "change through another service allowed",
}


def windows(args: argparse.Namespace, session: Session, out: Output) -> None:
    """List the open windows, or with --all every window.

    For a given access request, show its window with the accesses.
    """
    if args.request is not None:
        _one(args, session, out)
        return
    state = {} if args.all else {"state": "open"}
    rows = list(session.rows(grants_list.sync_detailed, limit=args.limit, **state))
    if out.as_json:
        out.document(rows)
    else:
        nothing = "There has been no window yet." if args.all else "No window is open."
        out.table(_NAMES, (_line(row, out) for row in rows), nothing=nothing)


def _one(args: argparse.Namespace, session: Session, out: Output) -> None:
    asked = found(session, args.request)
    page = session.call(grants_list.sync_detailed, access_request=asked, fields="id", limit=1)
    if not page["items"]:
        raise Refused({"code": "not_found", "title": "No window was opened for this access request.", "status": 404})
    pk = UUID(page["items"][0]["id"])
    row = session.call(grants_show.sync_detailed, pk)
    looks = list(session.rows(grants_accesses.sync_detailed, pk, limit=args.limit))
    if out.as_json:
        out.document({**row, "accesses": looks})
        return
    out.facts(
        [
            ("Access request", Cell(row["access_request"]["reference"], "bold")),
            ("Practice", practice(row)),
            ("State", _STATES.get(row["state"], Cell(row["state"]))),
            ("Engineer", row["engineer"]["name"]),
            ("May", f"{may(row)} {resources(row)} of {row['tenant']['name']}"),
            ("Service", row["service"]["name"]),
            *window(row, out.now),
            ("Closed by", row["closed_by"]["name"] if row["closed_by"] else ""),
            *_seen(row["seen"], row["enforced_by"]),
            ("You can", ", ".join(row["allowed_actions"])),
        ]
    )
    if looks:
        print()
        out.table(("AT", "WHAT", "RESOURCE", "ITEM"), (_look(each) for each in looks), nothing="")


def _seen(seen: dict[str, Any], enforced_by: str) -> list[tuple[str, str]]:
    if enforced_by:
        # Only the application knows what was opened there.
        return [("Enforced by", enforced_by), ("Reported accesses", str(seen["allowed"]))]
    return [
        ("Opened items", str(seen["opened"])),
        ("Downloaded items", str(seen["downloaded"])),
        ("Downloaded attachments", str(seen["attachments"] or "")),
        ("Names listed", str(seen["listed"])),
        ("Allowed accesses through another service", str(seen["allowed"] or "")),
    ]


def _line(row: dict[str, Any], out: Output) -> list[Cell | str]:
    closes = when(row["closes_at"], out.now)
    if row["closed_at"]:
        closes = Cell(at(row["closed_at"]), "dim", short=ENDS.get(row["close_reason"], row["close_reason"] or ""))
    return [
        Cell(row["access_request"]["reference"], "bold"),
        _STATES.get(row["state"], Cell(row["state"])),
        row["tenant"]["name"],
        row["engineer"]["name"],
        f"{'practice: ' if practice(row) else ''}{may(row)} {resources(row)}",
        at(row["opens_at"]),
        closes,
    ]


def _look(each: dict[str, Any]) -> list[Cell | str]:
    item = " ".join(part for part in (each["item"], each["part"]) if part)
    what = _ACCESSED.get(each["kind"], each["kind"])
    names = f"{each['names']} names" if each["names"] else ""
    return [at(each["at"]), what, each["resource"]["name"], item or names]
