"""The settings of a backup are fitted to the machine where it is restored."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from lockbox_site.backup import fitting
from lockbox_site.backup.contents import Contents, Header
from requests_app.domain import clock

OLD, NEW = "/var/lib/lockbox", Path("/srv/new")


@pytest.fixture(autouse=True)
def _database_is_open() -> None:
    """These tests use no database."""


def fitted(read: dict[str, str], here: dict[str, str] | None = None, *, before: str = OLD) -> fitting.Fitted:
    header = Header(UUID(int=1), clock.now(), "0", "sqlite", "lockbox.example.com", (), {}, before)
    return fitting.fit(Contents(header), read, here or {}, NEW)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/var/lib/lockbox/content", "/srv/new/content"),
        ("/var/lib/lockbox", "/srv/new"),
        ("sqlite:////var/lib/lockbox/lockbox.sqlite3", "sqlite:////srv/new/lockbox.sqlite3"),
        ("filemail:///var/lib/lockbox/mail", "filemail:///srv/new/mail"),
        ("dir:///var/lib/lockbox/heads", "dir:///srv/new/heads"),
        ("/etc/one.pem,/var/lib/lockbox/two.pem", "/etc/one.pem,/srv/new/two.pem"),
        ("postgres://u:p@h/db?sslrootcert=/var/lib/lockbox/ca.pem", "postgres://u:p@h/db?sslrootcert=/srv/new/ca.pem"),
        ("pkcs11:token=x?pin-source=file:/var/lib/lockbox/pin", "pkcs11:token=x?pin-source=file:/srv/new/pin"),
        # These are other places.
        ("/var/lib/lockbox2/content", "/var/lib/lockbox2/content"),
        ("/mnt/var/lib/lockbox/content", "/mnt/var/lib/lockbox/content"),
        ("https://example.com/var/lib/lockbox/", "https://example.com/var/lib/lockbox/"),
    ],
)
def test_only_paths_inside_the_data_directory_lead_to_the_new_one(before: str, after: str) -> None:
    found = fitted({"NAME": before})
    assert found.values == {"NAME": after}
    assert found.changed == ({"NAME"} if before != after else set())
    assert fitted({"NAME": before}, before="").values == {"NAME": before}, "a backup that names no data directory"


@pytest.mark.parametrize("here", [{"NAME": "x"}, {"NAME_FILE": "/run/secrets/x"}])
def test_what_this_machine_has_as_a_value_or_as_a_file_replaces_both(here: dict[str, str]) -> None:
    found = fitted({"NAME": "old", "NAME_FILE": "/old"}, here)
    assert found.values == {}
    assert found.dropped == {"NAME", "NAME_FILE"}
