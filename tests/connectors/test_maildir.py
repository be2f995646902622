"""The connector for Maildir: flags, folders, order, large mailboxes, and hostile names."""

import email.message
import email.policy
import gzip
import io
import os
import shutil
import subprocess
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from requests_app.content.connectors import _mime, _paths
from requests_app.content.connectors.base import (
    ItemNotFound,
    ItemTooLarge,
    ItemUnreadable,
    Limits,
    LinkRefused,
    OutsideResource,
    ResourceNotFound,
)
from requests_app.content.connectors.maildir import Maildir
from tests.connectors.cases import mail, make_maildir
from tests.offenders import collected

pytestmark = pytest.mark.usefixtures("no_descriptor_left")

LOCATOR = "contoso/mail/finance"
#: Data that can hardly be compressed, and that is larger than headers can be.
ROWS = bytes((n * n // 7) % 251 for n in range(200_000))


def letter() -> bytes:
    made = email.message.EmailMessage(policy=email.policy.SMTP)
    made["From"], made["Subject"] = "alex@contoso.example", "Letter"
    made["Message-ID"] = "<letter@contoso.example>"
    made.set_content("Hello")
    made.add_attachment(ROWS, maintype="text", subtype="csv", filename="rows.csv")
    return made.as_bytes()


LETTER = letter()


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return make_maildir(tmp_path / LOCATOR)


@pytest.fixture
def maildir(tmp_path: Path, box: Path) -> Maildir:
    return Maildir(tmp_path)


def put(box: Path, name: str, data: bytes | None = None, place: str = "cur") -> Path:
    path = box / place / name
    path.write_bytes(mail() if data is None else data)
    return path


def ids(maildir: Maildir, prefix: str = "", limit: int = 100) -> list[str]:
    return [item.id for item in maildir.list(LOCATOR, prefix=prefix, limit=limit).items]


def test_a_listing_says_who_when_how_large_and_about_what(maildir: Maildir, box: Path) -> None:
    data = mail("Zahlungslauf für März", sender="Jörg Müller <jorg@contoso.example>", number=7)
    put(box, "1762000000.M1.host:2,S", data)
    (item,) = maildir.list(LOCATOR).items
    assert item.title == "Zahlungslauf für März"
    assert dict(item.details) == {
        "from": "Jörg Müller <jorg@contoso.example>",
        "sent_at": "2026-11-02T08:30:00+00:00",
    }
    assert item.size == len(data)
    assert item.modified_at is not None
    assert item.modified_at.timestamp() == 1762000000
    assert item.reference == "<7@contoso.example>"
    assert item.kind == "message"


def test_the_newest_come_first(maildir: Maildir, box: Path) -> None:
    for stamp in (1762000005, 1762000001, 1762000009):
        put(box, f"{stamp}.M1.host:2,", place="cur")
    put(box, "1762000007.M1.host", place="new")
    assert [item_id[:10] for item_id in ids(maildir)] == ["1762000009", "1762000007", "1762000005", "1762000001"]


def test_a_file_without_a_date_in_its_name_is_sorted_by_its_own_date(maildir: Maildir, box: Path) -> None:
    put(box, "1762000005.M1.host:2,")
    os.utime(put(box, "odd-name:2,S"), (1762000006, 1762000006))
    os.utime(put(box, "older:2,S"), (-5, -5))
    assert ids(maildir) == ["odd-name", "1762000005.M1.host", "older"]


def test_the_id_stays_when_the_message_is_read_or_moved(maildir: Maildir, box: Path) -> None:
    path = put(box, "1762000000.M1.host", place="new")
    (before,) = maildir.list(LOCATOR).items
    path.rename(box / "cur" / "1762000000.M1.host:2,FRS")
    assert maildir.stat(LOCATOR, before.id) == before
    assert ids(maildir) == [before.id]


def test_a_message_that_is_marked_read_during_the_search_is_found(
    maildir: Maildir, box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(box, "1762000000.M1.host", place="new")
    plain = _paths.open_file
    moves = iter([("new/1762000000.M1.host", "cur/1762000000.M1.host:2,")] * 2)

    def moved(parent: int, name: str, *, is_from_listing: bool = False) -> tuple[io.FileIO, os.stat_result]:
        for source, target in moves:
            if (box / source).exists():
                (box / source).rename(box / target)
            break
        return plain(parent, name, is_from_listing=is_from_listing)

    monkeypatch.setattr(_paths, "open_file", moved)
    assert ids(maildir) == ["1762000000.M1.host"]
    (box / "cur/1762000000.M1.host:2,").rename(box / "new/1762000000.M1.host")
    moves = iter([("new/1762000000.M1.host", "cur/1762000000.M1.host:2,")] * 2)
    with maildir.open(LOCATOR, "1762000000.M1.host") as stream:
        assert b"".join(stream.chunks) == mail()


@pytest.mark.parametrize(
    "item_id", ["1762000000.M1.host:2,S", "1762000000", "1762000000.M1.HOST", "cur/1762000000.M1.host"]
)
def test_a_file_name_with_flags_or_a_part_of_one_is_no_id(maildir: Maildir, box: Path, item_id: str) -> None:
    put(box, "1762000000.M1.host:2,S")
    with pytest.raises((ItemNotFound, OutsideResource)):
        maildir.stat(LOCATOR, item_id)


def test_a_message_in_both_folders_counts_once(maildir: Maildir, box: Path) -> None:
    for stamp in (1762000001, 1762000002, 1762000003):
        put(box, f"{stamp}.M1.host:2,S")
        put(box, f"{stamp}.M1.host", place="new")
    found, after = [], None
    for _ in range(10):
        page = maildir.list(LOCATOR, after=after, limit=2)
        found += [item.id[:10] for item in page.items]
        after = page.next_after
        if after is None:
            break
    assert found == ["1762000003", "1762000002", "1762000001"]


def test_a_folder_that_is_not_a_maildir_is_not_a_resource(maildir: Maildir, tmp_path: Path) -> None:
    (tmp_path / "contoso/mail/half/cur").mkdir(parents=True)
    for locator in ("contoso/mail", "contoso/mail/half", "contoso/mail/finance/cur"):
        with pytest.raises(ResourceNotFound):
            maildir.check(locator)


def test_the_folders_of_a_mailbox_come_first_and_open_by_their_id(maildir: Maildir, box: Path) -> None:
    put(box, "1762000000.M1.host:2,")
    for name in (".Sent", ".Archive.2026", ".Entw&APw-rfe", ".R&-D"):
        make_maildir(box / name)
    put(box / ".Sent", "1762000009.M1.host:2,S", mail("Out"))
    found = maildir.list(LOCATOR).items
    assert [(item.kind, item.title) for item in found[:4]] == [
        ("folder", "Archive/2026"), ("folder", "Entwürfe"), ("folder", "R&D"), ("folder", "Sent"),
    ]  # fmt: skip
    assert [item.kind for item in found[4:]] == ["message"]
    (out,) = maildir.list(LOCATOR, prefix=".Sent").items
    assert out.id == ".Sent/1762000009.M1.host"
    assert maildir.message(LOCATOR, out.id).headers["Subject"] == "Out"
    assert maildir.stat(LOCATOR, ".Sent").kind == "folder"
    with pytest.raises(ItemNotFound):
        maildir.stat(LOCATOR, "1762000009.M1.host")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_cross_from_folders_to_messages_without_a_loss(maildir: Maildir, box: Path, limit: int) -> None:
    for name in (".A", ".B", ".C"):
        make_maildir(box / name)
    for stamp in (1762000001, 1762000002):
        put(box, f"{stamp}.M1.host:2,S")
    found: list[str] = []
    after: str | None = None
    for _ in range(10):
        page = maildir.list(LOCATOR, after=after, limit=limit)
        found += [item.id for item in page.items]
        after = page.next_after
        if after is None:
            break
    assert found == [".A", ".B", ".C", "1762000002.M1.host", "1762000001.M1.host"]


def test_only_a_folder_and_a_unique_name_make_an_id(maildir: Maildir, box: Path) -> None:
    cases = [".Sent/../x", ".Sent/cur/x", "Sent/x", ".Sent/.x", ".Sent/", ".absent/x", "..", "tmp/x"]
    make_maildir(box / ".Sent")
    put(box, "x", place="tmp")
    with collected() as case:
        for item_id in cases:
            with case(item_id), pytest.raises((ItemNotFound, OutsideResource)):
                maildir.open(LOCATOR, item_id)


def test_links_and_pipes_in_a_mailbox_are_counted_and_never_read(maildir: Maildir, box: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(mail("secret"))
    (box / "cur" / "1762000001.M1.host:2,S").symlink_to(tmp_path / "secret")
    os.mkfifo(box / "new" / "1762000002.M1.host")
    (box / "cur" / "1762000003.M1.host:2,").mkdir()
    put(box, "line\nbreak:2,")
    listing = maildir.list(LOCATOR)
    assert listing.items == ()
    assert listing.unlisted == 4
    for item_id in ("1762000001.M1.host", "1762000002.M1.host", "1762000003.M1.host"):
        with pytest.raises((ItemNotFound, OutsideResource)):
            maildir.open(LOCATOR, item_id)


@pytest.mark.parametrize("place", ["cur", "new", ".Sent"])
def test_a_linked_part_of_a_mailbox_is_refused(maildir: Maildir, box: Path, tmp_path: Path, place: str) -> None:
    other = make_maildir(tmp_path / "fabrikam/mail")
    put(other, "1762000001.M1.host:2,S", mail("secret"))
    if place == ".Sent":
        (box / place).symlink_to(other)
        assert ids(maildir) == []
        with pytest.raises(OutsideResource):
            maildir.list(LOCATOR, prefix=place)
        return
    (box / place).rmdir()
    (box / place).symlink_to(other / "cur")
    for question in (maildir.check, maildir.list):
        with pytest.raises(OutsideResource):
            question(LOCATOR)


def test_a_malformed_message_id_never_reaches_the_log(maildir: Maildir, box: Path) -> None:
    cases = [
        "",
        "no brackets",
        "<a b@x>",
        "<a@x> <b@x>",
        "<" + "a" * 300 + "@x>",
        "<a\u00fc@x>",
        "<a<b>@x>",
        "<a@x",
        "<\x1b[31m@x>",
    ]
    with collected() as case:
        for message_id in cases:
            with case(message_id):
                put(box, "1762000000.M1.host:2,S", f"Message-ID: {message_id}\r\nSubject: x\r\n\r\n".encode())
                assert maildir.stat(LOCATOR, "1762000000.M1.host").reference == "1762000000.M1.host"


@pytest.mark.slow
def test_a_page_of_a_big_mailbox_opens_only_what_it_shows(
    maildir: Maildir, box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2_000):
        (box / "cur" / f"17620{number:05}.M1.host:2,S").write_bytes(b"Subject: x\r\n\r\nbody")
    opened: list[str] = []
    plain = _paths.open_file

    def counted(parent: int, name: str, *, is_from_listing: bool = False) -> tuple[io.FileIO, os.stat_result]:
        opened.append(name)
        return plain(parent, name, is_from_listing=is_from_listing)

    monkeypatch.setattr(_paths, "open_file", counted)
    monkeypatch.setattr(_mime, "scan", lambda *_: pytest.fail("a listing read a body"))
    page = maildir.list(LOCATOR, limit=50)
    assert len(page.items) == len(opened) == 50
    assert page.items[0].id == "1762001999.M1.host"
    opened.clear()
    maildir.stat(LOCATOR, "1762001000.M1.host")
    assert len(opened) == 1


def test_a_listing_reads_no_more_of_a_message_than_headers_may_take(
    maildir: Maildir, box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(box, "1762000000.M1.host:2,S", b"Subject: seen\r\nX-Long: " + b"x" * 10_000_000 + b"\r\nFrom: late\r\n\r\n")
    read: list[int] = []
    plain = _mime.read_exactly_some

    def counted(file: io.FileIO, count: int) -> bytes:
        read.append(count)
        return plain(file, count)

    monkeypatch.setattr(_mime, "read_exactly_some", counted)
    (item,) = maildir.list(LOCATOR).items
    assert item.title == "seen"
    assert item.details["from"] == ""
    assert sum(read) <= maildir.limits.header_bytes


# --- Compressed mail -------------------------------------------------------------------------------------------


def by_gzip(data: bytes) -> bytes:
    """Compress the data with the program gzip, which also stores a file name and a time."""
    program = shutil.which("gzip")
    assert program is not None
    return subprocess.run([program, "-c"], input=data, capture_output=True, check=True).stdout  # noqa: S603 - gzip by its path


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": by_gzip,
    "gzip of two parts": lambda data: gzip.compress(data[:90]) + gzip.compress(data[90:]),
    "zlib": zlib.compress,
    "zlib, hardly": lambda data: zlib.compress(data, 1),
    "zlib, at its best": lambda data: zlib.compress(data, 9),
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_mail_is_listed_opened_and_downloaded_as_it_came(maildir: Maildir, box: Path, kind: str) -> None:
    data = LETTER
    put(box, f"1762000000.M1.host,S={len(data)}:2,S", COMPRESSED[kind](data))
    (item,) = maildir.list(LOCATOR).items
    assert (item.id, item.title, item.size) == (f"1762000000.M1.host,S={len(data)}", "Letter", len(data))
    assert item.details["from"] == "alex@contoso.example"
    message = maildir.message(LOCATOR, item.id)
    assert message.text.strip() == "Hello"
    assert [(each.filename, each.size) for each in message.attachments] == [("rows.csv", 200_000)]
    with maildir.open(LOCATOR, item.id) as whole:
        assert whole.size == len(data)
        assert b"".join(whole.chunks) == data
    with maildir.open(LOCATOR, item.id, part=message.attachments[0].part) as rows:
        assert b"".join(rows.chunks) == ROWS


def test_a_list_states_a_size_without_decompressing_all_of_it(maildir: Maildir, box: Path) -> None:
    put(box, "1762000001.M1.host:2,", by_gzip(LETTER))
    put(box, f"1762000000.M1.host,S={len(LETTER)},W=9:2,", zlib.compress(LETTER))
    assert [item.size for item in maildir.list(LOCATOR).items] == [len(LETTER), len(LETTER)]


@pytest.mark.parametrize("pack", [by_gzip, zlib.compress])
def test_a_few_bytes_that_stand_for_many_stop_at_the_limit(
    tmp_path: Path, box: Path, pack: Callable[..., bytes]
) -> None:
    maildir = Maildir(tmp_path, Limits(item_bytes=300_000))
    put(box, "1762000000.M1.host:2,", pack(mail() + b"x" * 60_000_000))
    tracemalloc.start()
    try:
        (item,) = maildir.list(LOCATOR).items
        assert item.title == "Payment run"
        for read in (maildir.message, maildir.open):
            with pytest.raises(ItemTooLarge):
                read(LOCATOR, item.id)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("magic", [b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\xfd7zXZ\x00", b"BZh91AY&SY"])
def test_unreadable_compressed_mail_is_counted_and_reported(maildir: Maildir, box: Path, magic: bytes) -> None:
    put(box, "1762000000.M1.host:2,", magic + bytes(200))
    put(box, "1762000001.M1.host:2,")
    listing = maildir.list(LOCATOR)
    assert ([item.id for item in listing.items], listing.unlisted) == (["1762000001.M1.host"], 1)
    for read in (maildir.message, maildir.open, maildir.stat):
        with pytest.raises(ItemUnreadable):
            read(LOCATOR, "1762000000.M1.host")


@pytest.mark.parametrize("spoil", [lambda data: data[:-100], lambda data: data[:200] + b"?" * 50 + data[250:]])
def test_damaged_mail_is_never_taken_for_a_whole_one(
    maildir: Maildir, box: Path, spoil: Callable[[bytes], bytes]
) -> None:
    put(box, "1762000000.M1.host:2,", spoil(by_gzip(LETTER)))
    for read in (maildir.message, maildir.open):
        with pytest.raises(ItemUnreadable):
            read(LOCATOR, "1762000000.M1.host")


def test_a_mail_that_begins_as_zlib_does_is_read_as_it_is(maildir: Maildir, box: Path) -> None:
    put(box, "1762000000.M1.host:2,", b"x^y: 1\r\n" + mail())
    (item,) = maildir.list(LOCATOR).items
    assert item.title == "Payment run"


def test_a_refusal_of_a_link_says_that_it_is_one(tmp_path: Path, box: Path) -> None:
    (tmp_path / "contoso/mail/linked").symlink_to(box)
    for read in (
        lambda: Maildir(tmp_path).check("contoso/mail/linked"),
        lambda: Maildir(tmp_path).list("contoso/mail/linked"),
    ):
        with pytest.raises(LinkRefused):
            read()
