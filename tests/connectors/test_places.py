"""Which directories under a tenant's root are offered as resources: none outside of it, and no link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from requests_app.content import checking
from requests_app.content.connectors import _places
from requests_app.content.connectors.base import Connector, ConnectorUnavailable, ResourceNotFound
from requests_app.content.connectors.folder import Folder
from requests_app.content.connectors.maildir import Maildir
from tests.connectors.cases import make_maildir

pytestmark = pytest.mark.usefixtures("no_descriptor_left")

BOXES = ["contoso/mail/a", "contoso/mail/a-b", "contoso/mail/a/b", "contoso/mail/deep/er/box", "contoso/zeta"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for place in ("contoso/docs/legal/secret plans", "contoso/docs/Ångström", "contoso/docs/аdmin", "fabrikam/docs/x"):
        (tmp_path / place).mkdir(parents=True)
    for box in ("contoso/mail/a-b", "contoso/mail/deep/er/box", "contoso/zeta", "fabrikam/mail/x"):
        make_maildir(tmp_path / box)
    (tmp_path / "contoso/mail/a/b").mkdir(parents=True)
    make_maildir(tmp_path / "contoso/mail/a/b")
    (tmp_path / "contoso/docs/legal/lease.txt").write_bytes(b"mine")
    return tmp_path


def found(connector: Connector, *taken: str, limit: int = 100) -> list[str]:
    """Return all places, page by page."""
    locators: list[str] = []
    after: str | None = None
    while True:
        page = connector.resources("contoso", taken=taken, after=after, limit=limit)
        assert len(page.places) <= limit
        locators += [place.locator for place in page.places]
        after = page.next_after
        if after is None:
            return locators


def test_mailboxes_are_found_wherever_they_are(root: Path) -> None:
    wanted = ["contoso/mail/a/b", "contoso/mail/a-b", "contoso/mail/deep/er/box", "contoso/zeta"]
    assert found(Maildir(root)) == wanted


def test_folders_are_found_on_two_levels_and_mail_is_none(root: Path) -> None:
    assert found(Folder(root)) == [
        "contoso/docs", "contoso/docs/legal", "contoso/docs/Ångström", "contoso/docs/аdmin",
        "contoso/mail/a", "contoso/mail/deep",
    ]  # fmt: skip


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("kind", [Maildir, Folder])
def test_pages_together_have_each_place_once(root: Path, kind: type[Maildir] | type[Folder], limit: int) -> None:
    assert found(kind(root), limit=limit) == found(kind(root))


def test_what_is_above_or_under_a_resource_is_no_place(root: Path) -> None:
    assert found(Folder(root), "contoso/docs/legal", "contoso/mail") == ["contoso/docs/Ångström", "contoso/docs/аdmin"]
    assert found(Folder(root), "contoso/docs", "contoso/mail") == []
    assert found(Maildir(root), "contoso/mail") == ["contoso/zeta"]


def test_links_hidden_and_strange_names_are_left_out(root: Path) -> None:
    before = found(Folder(root)), found(Maildir(root))
    docs = root / "contoso/docs"
    (docs / "link").symlink_to("../../fabrikam/docs/x")
    (root / "contoso/alias").symlink_to("../fabrikam", target_is_directory=True)
    (docs / ".hidden").mkdir()
    (docs / "back\\slash").mkdir()
    (docs / "new\nline").mkdir()
    os.mkdir(os.fsencode(docs) + b"/\xff")
    make_maildir(root / "contoso/.trash")
    os.mkfifo(docs / "pipe")
    assert (found(Folder(root)), found(Maildir(root))) == before


@pytest.mark.parametrize("kind", [Maildir, Folder])
def test_a_walk_that_takes_too_long_ends(
    root: Path, kind: type[Maildir] | type[Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it any more, and it would take one of the few places of its connector until it ends."""
    opened: list[int] = []

    def monotonic() -> float:
        opened.append(1)
        return 0.0 if len(opened) < 4 else _places.WALK_SECONDS + 1

    monkeypatch.setattr(_places.clock, "monotonic", monotonic)
    with pytest.raises(ConnectorUnavailable):
        kind(root).resources("contoso")
    assert len(opened) == 4, "no directory is opened after that"
    assert _places.WALK_SECONDS < checking.CHECK_SECONDS


def test_a_root_that_is_missing_or_a_link_has_no_places(root: Path) -> None:
    (root / "adatum").symlink_to("contoso", target_is_directory=True)
    with pytest.raises(ResourceNotFound):
        Folder(root).resources("tailspin")
    with pytest.raises(Exception, match="link"):
        Folder(root).resources("adatum")
