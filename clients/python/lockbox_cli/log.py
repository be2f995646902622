"""`lockbox log` and `lockbox watch`: the entries of a log, and new events."""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO
from uuid import UUID

from lockbox_cli.errors import Failure, NotReachable, Refused, Usage
from lockbox_cli.output import Cell, Output
from lockbox_cli.session import PAGE, Session, own_tenant
from lockbox_cli.text import as_json, at
from lockbox_client.api.log import events, log_entries, provider_log_entries
from lockbox_client.models.log_entries_event import LOG_ENTRIES_EVENT_VALUES

#: How many seconds the server waits for new events before it answers.
WAIT = 25
#: The pauses in seconds while the server can't be reached. The last pause repeats.
PAUSES = (1, 2, 5, 15, 30)
_NAMES = ("SEQ", "AT", "EVENT", "BY", "ABOUT", "LEAF HASH")


class Damaged(Failure):
    """All entries were read, but some of them do not fit their hashes."""

    code = "damaged"


def tail(args: argparse.Namespace, session: Session, out: Output) -> None:
    """Print the newest entries. With --follow, continue to print entries as they are added."""
    operation, of = _log(args, session)
    rows = list(session.rows(operation, *of, limit=args.number, order="-seq"))[::-1]
    if not args.follow:
        if out.as_json:
            for row in rows:
                out.line(row)
        else:
            out.table(_NAMES, (_line(row) for row in rows), nothing="There are no entries yet.")
        return
    last = rows[-1]["seq"] if rows else -1
    for row in rows:
        _print_row(row, out)
    for row in _coming(session, operation, of, last):
        _print_row(row, out)


def export(args: argparse.Namespace, session: Session, out: Output) -> None:
    """Write all entries in order, one JSON document per line, each with the text that was hashed."""
    operation, of = _log(args, session)
    named = {"after": args.after} if args.after is not None else {}
    count = damaged = 0
    with _target(args.output) as file:
        for row in _all(session, operation, of, **named):
            print(as_json(row, indent=None), file=file)
            count += 1
            damaged += not _is_intact(row)
    if args.output:
        out.note(f"{count} entries in {args.output}.")
    if damaged:
        raise Damaged(f"{damaged} of {count} entries do not match their hash.")


def watch(args: argparse.Namespace, session: Session, out: Output) -> None:
    """Print events as they happen, in the form that webhooks get, until the command is ended."""
    tenant = args.tenant or own_tenant(session)
    for name in set(args.type or ()) - LOG_ENTRIES_EVENT_VALUES:
        # A newer server may know this event. But if the name is misspelled, the command would wait without end.
        out.note(f"This program does not know the event {name}.")
    left = args.count
    for event in _events(session, tenant, args.after, out):
        if args.type and event["type"] not in args.type:
            continue
        if out.as_json:
            out.line(event)
        else:
            out.row(_happened(event))
        if left is not None and (left := left - 1) <= 0:
            return


# --- Reading more entries ------------------------------------------------------------------------------------


def _log(args: argparse.Namespace, session: Session) -> tuple[Callable[..., Any], tuple[UUID, ...]]:
    if args.provider:
        return provider_log_entries.sync_detailed, ()
    return log_entries.sync_detailed, (args.tenant or own_tenant(session),)


def _all(
    session: Session, operation: Callable[..., Any], of: tuple[UUID, ...], **named: Any
) -> Iterator[dict[str, Any]]:
    """Yield all entries, including those that are added meanwhile.

    Each call asks for the entries after the last number, because a cursor would not return entries that are added
    later.
    """
    while True:
        items = session.call(operation, *of, limit=PAGE, **named)["items"]
        yield from items
        if len(items) < PAGE:
            return
        named["after"] = items[-1]["seq"]


def _coming(
    session: Session, operation: Callable[..., Any], of: tuple[UUID, ...], last: int
) -> Iterator[dict[str, Any]]:
    while True:
        if of:
            # This call only waits for a new entry. The entries themselves are read from the log.
            session.call(events.sync_detailed, *of, after=str(last + 1), wait=WAIT)
        else:
            time.sleep(PAUSES[1])
        for row in _all(session, operation, of, after=last):
            last = row["seq"]
            yield row


def _events(session: Session, tenant: UUID, after: str | None, out: Output) -> Iterator[dict[str, Any]]:
    """Yield the events. After an outage of the server or the connection, continue where the events stopped."""
    tries = 0
    while True:
        named: dict[str, Any] = {"after": after} if after is not None else {}
        try:
            # The first call has no cursor. It only returns the end of the log, and no later event is missed.
            page = session.call(events.sync_detailed, tenant, **named, wait=WAIT if named else 0)
        except (NotReachable, Refused) as failure:
            if isinstance(failure, Refused) and not failure.wait:
                raise
            pause = int(failure.wait) if isinstance(failure, Refused) else PAUSES[min(tries, len(PAUSES) - 1)]
            if tries == 0:
                out.note(f"{failure} Trying again.")
            tries += 1
            time.sleep(pause)
            continue
        if after is None:
            out.note(f"Showing events from now on. To continue from here later, use --after {page['cursor']}")
        tries, after = 0, page["cursor"]
        yield from page["items"]


@contextmanager
def _target(name: str | None) -> Iterator[TextIO | None]:
    """Yield a new file, or None for standard output.

    Only the owner can read the file, because a log is confidential.
    """
    if name is None:
        yield None
        return
    try:
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Usage(f"{name} can't be made: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
    except BaseException:
        # Remove the file, because it contains only a part of the log.
        os.unlink(name)
        raise


def _is_intact(row: dict[str, Any]) -> bool:
    """Return whether the entry fits its hash (RFC 6962, section 2.1).

    The hash is computed here, because a server could claim anything.
    """
    record = row["record"]
    if not isinstance(record, str):
        return False
    return hashlib.sha256(b"\x00" + record.encode(errors="surrogatepass")).hexdigest() == row["leaf_hash"]


# --- Showing -------------------------------------------------------------------------------------------------


def _print_row(row: dict[str, Any], out: Output) -> None:
    if out.as_json:
        out.line(row)
    else:
        out.row(_line(row))


def _line(row: dict[str, Any]) -> list[Cell | str]:
    actor = row["actor"]
    who = actor["name"] or actor["kind"]
    if actor["in_name_of"]:
        who += f" for {actor['in_name_of']['name']}"
    damaged = not _is_intact(row)
    return [
        str(row["seq"]),
        at(row["at"]),
        Cell(f"{row['event']} DAMAGED" if damaged else row["event"], "bold red" if damaged else "bold"),
        who,
        str(row["detail"].get("reference") or f"{row['subject']['type']} {row['subject']['id']}"),
        Cell(row["leaf_hash"], "dim", short=row["leaf_hash"][:12]),
    ]


def _happened(event: dict[str, Any]) -> list[Cell | str]:
    data = event["data"]
    about = data.get("reference") or f"{data['subject']['type']} {data['subject']['id']}"
    return [
        at(event["timestamp"]),
        Cell(event["type"], "bold", short=f"{event['type']:<36}"),
        str(about),
        str(data.get("state") or ""),
    ]
