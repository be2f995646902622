"""A folder of documents: paths that try to leave it, files that are not documents, and races with both."""

import os
import socket
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from requests_app.content.connectors import _paths
from requests_app.content.connectors.base import CHUNK_BYTES, ItemNotFound, OutsideResource
from requests_app.content.connectors.folder import Folder

pytestmark = pytest.mark.usefixtures("no_descriptor_left")

LOCATOR = "contoso/docs/legal"
SECRET = b"secret"


@pytest.fixture
def legal(tmp_path: Path) -> Path:
    """Return a resource with one document. Beside it is a secret file that belongs to somebody else."""
    folder = tmp_path / LOCATOR
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "doc.txt").write_bytes(b"mine")
    (folder / "doc.txt").write_bytes(b"mine")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "doc.txt").write_bytes(SECRET)
    return folder


@pytest.fixture
def folder(tmp_path: Path, legal: Path) -> Folder:
    return Folder(tmp_path)


def read(folder: Folder, item_id: str, locator: str = LOCATOR) -> bytes:
    with folder.open(locator, item_id) as stream:
        return b"".join(stream.chunks)


def names(folder: Folder, prefix: str = "") -> list[str]:
    return [item.id for item in folder.list(LOCATOR, prefix=prefix).items]


def test_folders_come_first_and_are_entered_by_their_id(folder: Folder) -> None:
    assert names(folder) == ["sub", "doc.txt"]
    assert names(folder, "sub") == ["sub/doc.txt"]
    assert read(folder, "sub/doc.txt") == b"mine"
    assert folder.stat(LOCATOR, "sub").kind == "folder"
    with pytest.raises(ItemNotFound):
        folder.open(LOCATOR, "sub")


def test_a_document_is_no_folder(folder: Folder) -> None:
    with pytest.raises(ItemNotFound):
        folder.list(LOCATOR, prefix="doc.txt")
    with pytest.raises(ItemNotFound):
        folder.open(LOCATOR, "doc.txt/doc.txt")


def link_to_file(legal: Path) -> str:
    (legal / "link.txt").symlink_to("../../../outside/doc.txt")
    return "link.txt"


def link_to_own_file(legal: Path) -> str:
    (legal / "own.txt").symlink_to("doc.txt")
    return "own.txt"


def link_to_directory(legal: Path) -> str:
    (legal / "linked").symlink_to("../../../outside", target_is_directory=True)
    return "linked/doc.txt"


def link_to_nothing(legal: Path) -> str:
    (legal / "dangling").symlink_to("nowhere")
    return "dangling"


def link_to_itself(legal: Path) -> str:
    (legal / "loop").symlink_to("loop")
    return "loop"


@pytest.mark.parametrize("plant", [link_to_file, link_to_own_file, link_to_directory, link_to_nothing, link_to_itself])
def test_a_link_is_neither_listed_nor_followed(folder: Folder, legal: Path, plant: Callable[[Path], str]) -> None:
    item_id = plant(legal)
    with pytest.raises(OutsideResource):
        folder.open(LOCATOR, item_id)
    with pytest.raises(OutsideResource):
        folder.stat(LOCATOR, item_id)
    assert names(folder) == ["sub", "doc.txt"]
    assert folder.list(LOCATOR).unlisted == 1


def test_a_linked_folder_can_not_be_listed(folder: Folder, legal: Path) -> None:
    link_to_directory(legal)
    with pytest.raises(OutsideResource):
        folder.list(LOCATOR, prefix="linked")


def test_a_locator_is_not_followed_through_a_link(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "contoso" / "docs" / "alias").symlink_to("../../outside")
    (tmp_path / "alias").symlink_to("outside")
    for locator in ("contoso/docs/alias", "alias"):
        with pytest.raises(OutsideResource):
            folder.check(locator)
        with pytest.raises(OutsideResource):
            read(folder, "doc.txt", locator)


def test_the_root_itself_may_be_a_link_of_the_operator(tmp_path: Path, legal: Path) -> None:
    (tmp_path / "root").symlink_to(tmp_path, target_is_directory=True)
    assert read(Folder(tmp_path / "root"), "doc.txt") == b"mine"


def swap_before(monkeypatch: pytest.MonkeyPatch, name: str, swap: Callable[[], None]) -> None:
    """Run `swap` just before the file `name` is opened, when all checks of it have passed."""
    plain = os.open

    def opened(path: str, flags: int, **options: int) -> int:
        if path == name and "dir_fd" in options:
            swap()
        return plain(path, flags, **options)

    monkeypatch.setattr(_paths.os, "open", opened)


def test_a_file_that_becomes_a_link_after_the_check_is_refused(
    folder: Folder, legal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap() -> None:
        (legal / "doc.txt").unlink()
        (legal / "doc.txt").symlink_to(tmp_path / "outside" / "doc.txt")

    swap_before(monkeypatch, "doc.txt", swap)
    with pytest.raises(OutsideResource):
        folder.open(LOCATOR, "doc.txt")


@pytest.mark.parametrize("name", ["sub", "legal", "docs"])
def test_a_folder_that_becomes_a_link_after_the_check_is_refused(
    folder: Folder, legal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    swapped = {"sub": legal / "sub", "legal": legal, "docs": legal.parent}[name]
    (tmp_path / "outside" / "legal" / "sub").mkdir(parents=True)
    (tmp_path / "outside" / "legal" / "sub" / "doc.txt").write_bytes(SECRET)
    (tmp_path / "outside" / "sub").mkdir()
    (tmp_path / "outside" / "sub" / "doc.txt").write_bytes(SECRET)

    def swap() -> None:
        swapped.rename(tmp_path / "aside")
        swapped.symlink_to(tmp_path / "outside", target_is_directory=True)

    swap_before(monkeypatch, name, swap)
    with pytest.raises(OutsideResource):
        folder.open(LOCATOR, "sub/doc.txt")


def test_a_file_that_becomes_a_pipe_after_the_check_does_not_hang(
    folder: Folder, legal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap() -> None:
        (legal / "doc.txt").unlink()
        os.mkfifo(legal / "doc.txt")

    swap_before(monkeypatch, "doc.txt", swap)
    with pytest.raises(ItemNotFound):
        folder.open(LOCATOR, "doc.txt")


def test_a_storm_of_swaps_never_gives_the_secret(folder: Folder, legal: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    (tmp_path / "link").symlink_to(tmp_path / "outside" / "doc.txt")

    def storm() -> None:
        while not stop.is_set():
            os.rename(legal / "doc.txt", tmp_path / "aside")
            os.rename(tmp_path / "link", legal / "doc.txt")
            os.rename(legal / "doc.txt", tmp_path / "link")
            os.rename(tmp_path / "aside", legal / "doc.txt")

    thread = threading.Thread(target=storm)
    thread.start()
    outcomes = set()
    try:
        for _ in range(3000):
            try:
                outcomes.add(read(folder, "doc.txt"))
            except (OutsideResource, ItemNotFound) as error:
                outcomes.add(error.code.encode())
    finally:
        stop.set()
        thread.join()
    assert SECRET not in outcomes
    assert b"mine" in outcomes
    assert len(outcomes) > 1  # otherwise no swap happened while somebody read, and the test proves nothing


def test_a_file_that_is_not_regular_is_missing_immediately(
    folder: Folder, legal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(legal / "pipe.txt")
    # the address of a socket is limited to about a hundred characters, and a temporary path can be longer
    monkeypatch.chdir(legal)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.txt")
        for name in ("pipe.txt", "socket.txt"):
            with pytest.raises(ItemNotFound):
                folder.open(LOCATOR, name)
            with pytest.raises(ItemNotFound):
                folder.stat(LOCATOR, name)
    assert names(folder) == ["sub", "doc.txt"]
    assert folder.list(LOCATOR).unlisted == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a device")
def test_a_device_is_not_even_opened(folder: Folder, legal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        os.mknod(legal / "zero", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container may not make devices")
    swap_before(monkeypatch, "zero", lambda: pytest.fail("the device was opened"))
    with pytest.raises(ItemNotFound):
        folder.open(LOCATOR, "zero")


def test_only_the_exact_name_on_disk_is_accepted(folder: Folder, legal: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "März.txt") for form in ("NFC", "NFD"))
    assert composed != decomposed
    (legal / composed).write_bytes(b"composed")
    for other in (decomposed, composed.upper(), "MÄRZ.TXT", "März.txt ", "März.txt."):
        with pytest.raises(ItemNotFound):
            folder.open(LOCATOR, other)
    (legal / decomposed).write_bytes(b"decomposed")
    assert read(folder, composed) == b"composed"
    assert read(folder, decomposed) == b"decomposed"


def test_a_file_system_that_folds_case_lends_no_second_name(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates a file system that ignores case when it opens files, and still lists the names as they were written."""
    plain_stat, plain_open = os.stat, os.open
    monkeypatch.setattr(_paths.os, "stat", lambda name, **options: plain_stat(str(name).lower(), **options))
    monkeypatch.setattr(
        _paths.os,
        "open",
        lambda name, flags, **options: plain_open(name.lower() if "dir_fd" in options else name, flags, **options),
    )
    assert read(folder, "doc.txt") == b"mine"
    for question in (folder.stat, folder.open):
        for item_id in ("DOC.TXT", "Sub/doc.txt", "sub/Doc.txt"):
            with pytest.raises(ItemNotFound):
                question(LOCATOR, item_id)
    with pytest.raises(ItemNotFound):
        folder.check("Contoso/docs/legal")
    with pytest.raises(ItemNotFound):
        folder.list(LOCATOR, prefix="SUB")


@pytest.mark.parametrize("raw", [b"a\\b.txt", b"line\nbreak", b"latin-\xfc", b"bell\x07", "sep\u2028.txt".encode()])
def test_a_name_that_can_not_be_served_is_counted_and_never_hidden(folder: Folder, legal: Path, raw: bytes) -> None:
    with open(os.path.join(os.fsencode(legal), raw), "wb"):
        pass
    listing = folder.list(LOCATOR)
    assert [item.id for item in listing.items] == ["sub", "doc.txt"]
    assert listing.unlisted == 1


def test_every_listed_item_can_be_opened(folder: Folder, legal: Path) -> None:
    deep = legal
    parts: list[str] = []
    for number in range(7):
        parts.append(str(number) * 150)
        deep = deep / parts[-1]
        deep.mkdir()
    for depth in range(len(parts)):
        for item in folder.list(LOCATOR, prefix="/".join(parts[:depth])).items:
            assert len(item.id) <= 1024
            assert folder.stat(LOCATOR, item.id) == item
    # A path of six parts has 905 characters, a path of seven has 1,056. So the seventh is counted, but has no id.
    assert folder.list(LOCATOR, prefix="/".join(parts[:6])).unlisted == 1


def test_an_item_that_disappears_between_two_reads_is_skipped(
    folder: Folder, legal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _paths.facts_of

    def gone(parent: int, name: str) -> os.stat_result:
        if name == "doc.txt":
            (legal / "doc.txt").unlink(missing_ok=True)
        return plain(parent, name)

    monkeypatch.setattr("requests_app.content.connectors.folder._paths.facts_of", gone)
    assert names(folder) == ["sub"]


def test_a_file_that_grows_while_it_is_read_ends_where_it_was_opened(folder: Folder, legal: Path) -> None:
    (legal / "log.txt").write_bytes(b"a" * (CHUNK_BYTES + 10))
    with folder.open(LOCATOR, "log.txt") as stream:
        first = next(stream.chunks)
        with (legal / "log.txt").open("ab") as more:
            more.write(b"b" * CHUNK_BYTES)
        assert first + b"".join(stream.chunks) == b"a" * (CHUNK_BYTES + 10)


def test_a_huge_folder_is_listed_in_bounded_pages(folder: Folder, legal: Path) -> None:
    for number in range(3000):
        (legal / f"{number:05}.txt").touch()
    page = folder.list(LOCATOR, limit=500)
    assert len(page.items) == 500
    assert page.next_after == "100498.txt"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.txt", "text/plain"),
        ("a.PDF", "application/pdf"),
        ("a.tar.gz", "application/gzip"),
        ("noextension", "application/octet-stream"),
        (".txt", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
    ],
)
def test_the_type_comes_from_the_name(folder: Folder, legal: Path, name: str, media_type: str) -> None:
    (legal / name).touch()
    assert folder.stat(LOCATOR, name).media_type == media_type


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Grüße\n".encode(), "Grüße\n"),
        ("Grüße\n".encode("latin-1"), "Grüße\n"),
        ("Grüße\n".encode("utf-16"), "Grüße\n"),
        ("\ufeffGrüße\n".encode(), "Grüße\n"),
        (b"a\r\nb\rc\x00\x1b[31m", "a\nb\nc\ufffd\ufffd[31m"),
    ],
)
def test_a_text_is_read_clean_in_any_encoding(folder: Folder, legal: Path, data: bytes, text: str) -> None:
    (legal / "t.txt").write_bytes(data)
    assert folder.open(LOCATOR, "t.txt").read_text(1000) == (text, False)


def test_a_long_text_is_cut_and_says_so(folder: Folder, legal: Path) -> None:
    (legal / "t.txt").write_bytes("ü".encode() * 100_000)
    text, is_cut = folder.open(LOCATOR, "t.txt").read_text(1001)
    assert is_cut
    assert text == "ü" * 500 + "\ufffd"
