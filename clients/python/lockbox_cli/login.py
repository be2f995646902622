"""`lockbox login`, `logout` and `whoami`."""

from __future__ import annotations

import argparse
import os

from lockbox_cli import account as accounts
from lockbox_cli import asking
from lockbox_cli.account import Account
from lockbox_cli.errors import Usage
from lockbox_cli.output import Output
from lockbox_cli.session import Session, required
from lockbox_cli.text import at
from lockbox_client.api.caller import me


def login(args: argparse.Namespace, out: Output) -> None:
    """Ask for an account's data, and store it if a test call with it works."""
    url = args.url or os.environ.get("LOCKBOX_URL") or asking.line("Address, as in https://lockbox.example")
    account = Account(url=accounts.address(url))
    if args.client:
        account.client_id = str(required(args.client))
        account.client_secret = asking.secret("Secret of the client")
    else:
        account.token = os.environ.get("LOCKBOX_TOKEN", "").strip() or asking.secret("Personal token")
    if not (account.token or account.client_secret):
        raise Usage("Nothing was entered.")
    with Session(account) as session:
        found = session.call(me.sync_detailed)
    accounts.store(account)
    if out.as_json:
        out.document(found)
    out.say(f"Signed in at {account.url} as {found['name']}. Saved in {accounts.path()}.")


def logout(args: argparse.Namespace, out: Output) -> None:
    """Remove the stored account. The token itself still works, until somebody revokes it on the website."""
    was_there = accounts.forget()
    if out.as_json:
        out.document({"signed_out": was_there})
    out.say(
        "Signed out here. The token still works until it expires or is revoked."
        if was_there
        else "You were not signed in."
    )


def whoami(args: argparse.Namespace, session: Session, out: Output) -> None:
    found = session.call(me.sync_detailed)
    if out.as_json:
        out.document(found)
        return
    out.facts(
        [
            ("Name", found["name"]),
            ("Kind", found["kind"]),
            ("Mail", found["email"]),
            ("Side", found["side"]),
            ("Roles", ", ".join(found["roles"])),
            ("Tenants", ", ".join(found["tenants"])),
            ("Scopes", ", ".join(found["scopes"])),
            ("Token ends", at(found["expires_at"])),
            ("At", session.account.url),
        ]
    )
