"""The connectors that the tests of the contract run with.

For a new connector, add a function here and a name in CASES.
"""

import email.message
import email.policy
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from requests_app.content.connectors.base import Connector, Limits
from requests_app.content.connectors.folder import Folder
from requests_app.content.connectors.maildir import Maildir

SECRET = b"the other tenant's secret"


@dataclass
class Case:
    """One connector, two small resources, and functions for the few changes that the contract's tests make."""

    make: Callable[[Limits], Connector]
    locator: str
    other_locator: str
    contents: dict[str, bytes]  # by item id
    other_id: str  # an item of the other resource, whose content holds SECRET
    add: Callable[[int], None]  # add this number of items to the resource
    truncate: Callable[[str], None]  # cut the item with this id short
    broken: Callable[[], Connector]  # a connector whose store is missing

    @property
    def connector(self) -> Connector:
        return self.make(Limits())


@functools.cache  # Each test of the contract writes the same messages into new folders.
def mail(
    subject: str = "Payment run", *, sender: str = "alex@contoso.example", number: int = 1, body: str = "Hello"
) -> bytes:
    """Return a small well-formed message."""
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"] = sender
    message["To"] = "finance@contoso.example"
    message["Subject"] = subject
    message["Date"] = "Mon, 02 Nov 2026 09:30:00 +0100"
    message["Message-ID"] = f"<{number}@contoso.example>"
    message.set_content(body)
    return message.as_bytes()


def make_maildir(path: Path) -> Path:
    """Create an empty Maildir."""
    for place in ("cur", "new", "tmp"):
        (path / place).mkdir(parents=True)
    return path


def maildir_case(root: Path) -> Case:
    finance = make_maildir(root / "contoso/mail/finance")
    other = make_maildir(root / "fabrikam/mail/finance")
    contents = {f"17620000{n:02}.M{n}P7.host": mail(f"Payment run {n}", number=n, body="x" * 70_000) for n in range(5)}
    for number, (unique, data) in enumerate(contents.items()):
        (finance / ("new" if number % 2 else "cur") / (unique if number % 2 else f"{unique}:2,S")).write_bytes(data)
    (other / "cur" / "1762000099.M1.host:2,").write_bytes(mail(body=SECRET.decode()))

    def add(count: int) -> None:
        for number in range(count):
            (finance / "cur" / f"1761{number:06}.M1.host:2,S").write_bytes(mail(f"More {number}", number=number))

    def truncate(item_id: str) -> None:
        os.truncate(next(finance.glob(f"*/{item_id}*")), 70_000)

    return Case(
        make=lambda limits: Maildir(root, limits),
        locator="contoso/mail/finance",
        other_locator="fabrikam/mail/finance",
        contents=contents,
        other_id="1762000099.M1.host",
        add=add,
        truncate=truncate,
        broken=lambda: Maildir(root / "absent"),
    )


def folder_case(root: Path) -> Case:
    legal = root / "contoso/docs/legal"
    other = root / "fabrikam/docs/legal"
    contents = {
        "Lease.txt": b"The lease.\n" * 9000,
        "Notes – März.md": "# Überblick\n".encode(),
        "empty.bin": b"",
        "a b+c%2F&d#e?.txt": b"awkward but legal",
    }
    for path in (legal, other):
        path.mkdir(parents=True)
    for name, data in contents.items():
        (legal / name).write_bytes(data)
    (other / "secret.txt").write_bytes(SECRET)

    def add(count: int) -> None:
        for number in range(count):
            (legal / f"more {number:06}.txt").write_bytes(b"more")

    return Case(
        make=lambda limits: Folder(root, limits),
        locator="contoso/docs/legal",
        other_locator="fabrikam/docs/legal",
        contents=contents,
        other_id="secret.txt",
        add=add,
        truncate=lambda item_id: os.truncate(legal / item_id, 70_000),
        broken=lambda: Folder(root / "absent"),
    )


CASES: dict[str, Callable[[Path], Case]] = {"maildir": maildir_case, "folder": folder_case}
