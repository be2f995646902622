"""The places for stored heads: each moves a head only from the generation that was read, or refuses."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from audit_app import head_bucket, head_directory, head_file, head_text, heads, moving_heads
from audit_app.notes import Head
from audit_app.stored_heads import HeadConflict, HeadsUnavailable, StoredHead
from audit_app.tree import Frontier
from tests import object_store
from tests.authority import Authority

ORIGIN = "lockbox.example.com/log/a"


@pytest.fixture(scope="module")
def seaweedfs() -> Iterator[str]:
    with object_store.seaweedfs() as endpoint:
        yield endpoint


@pytest.fixture(params=["file", "directory", "bucket"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Use each kind of place in turn. The bucket is one of a real server."""
    if request.param == "directory":
        monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}")
    if request.param == "bucket":
        use_bucket(request.getfixturevalue("seaweedfs"), monkeypatch, prefix=tmp_path.name)
    return str(request.param)


def use_bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, *, prefix: str = "") -> None:
    monkeypatch.setattr(settings, "LOG_HEADS", f"s3://{object_store.BUCKET}/{prefix}")
    # An earlier test may have had a store at the same port.
    monkeypatch.setattr(head_bucket, "_tested", set())
    for name, value in object_store.settings_of(endpoint).items():
        monkeypatch.setattr(settings, name, value)


def frontier(size: int, mark: int = 0) -> Frontier:
    made = Frontier()
    made.extend(bytes([mark, number % 256]) * 16 for number in range(size))
    return made


def put(size: int, after: Any, *, mark: int = 0, note: str = "note", origin: str = ORIGIN) -> StoredHead:
    edge = frontier(size, mark)
    return heads.put(Head(origin, size, edge.root()), edge, note, after=after)


def test_a_head_is_read_as_it_was_stored_and_its_generation_grows(place: str) -> None:
    heads.require_usable()
    assert heads.get(ORIGIN) is None
    first = put(3, None, note="")
    second = put(3, first, note="— signed\n")
    third = put(7, second)
    found = heads.get(ORIGIN)
    assert [each.generation for each in (first, second, third)] == [1, 2, 3]
    assert found is not None
    assert found.is_same(third)
    assert (found.head, found.frontier.hashes, found.note) == (third.head, frontier(7).hashes, "note")
    other = put(2, None, origin="lockbox.example.com/log/b")
    assert [each.head for each in heads.every()] == [third.head, other.head]
    assert set(heads.get_many([ORIGIN, "lockbox.example.com/log/c"])) == {ORIGIN}


def test_a_signer_that_has_read_an_older_head_moves_nothing(place: str) -> None:
    first = put(3, None)
    second = put(4, first)
    for stale in (None, first, first.head):
        with pytest.raises(HeadConflict):
            put(5, stale)
    assert heads.get(ORIGIN).generation == second.generation
    assert put(5, second.head).generation == 3


def test_the_same_head_again_is_another_generation(place: str) -> None:
    """Without this, a signer that slept while the head was dated twice could not see that."""
    first = put(3, None)
    assert set(heads.renew([first])) == {ORIGIN}
    assert heads.renew([first]) == {}
    with pytest.raises(HeadConflict):
        put(5, first)
    assert heads.get(ORIGIN).generation == 2


def test_of_many_signers_at_the_same_time_one_moves_the_head(place: str) -> None:
    before: StoredHead | None = None
    for round_ in range(6):
        ready, won, lost = threading.Barrier(6), [], []

        def sign(mark: int, before: StoredHead | None = before, size: int = round_ + 1) -> None:
            ready.wait()  # noqa: B023  # each round has its own threads
            try:
                won.append(put(size, before, mark=mark))  # noqa: B023
            except HeadConflict:
                lost.append(mark)  # noqa: B023

        threads = [threading.Thread(target=sign, args=(mark,)) for mark in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert (len(won), len(lost)) == (1, 5)
        before = heads.get(ORIGIN)
        assert before.is_same(won[0])


def test_many_heads_are_dated_at_once_and_only_those_that_changed_are_left_out(place: str) -> None:
    rows = [put(2, None, origin=f"lockbox.example.com/log/{number}") for number in range(12)]
    put(3, rows[5], origin=rows[5].head.origin)
    done = heads.renew(rows)
    assert set(done) == {row.head.origin for row in rows} - {rows[5].head.origin}
    assert {each.generation for each in heads.every()} == {2}


# --- The file ---------------------------------------------------------------------------------------------------


def test_a_file_of_the_former_version_gets_generations() -> None:
    edge = frontier(3)
    with sqlite3.connect(settings.LOG_HEADS_FILE) as file:
        file.execute(
            "CREATE TABLE heads (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, "
            "frontier BLOB NOT NULL, note TEXT NOT NULL) WITHOUT ROWID"
        )
        file.execute("INSERT INTO heads VALUES (?, 3, ?, ?, 'old')", (ORIGIN, edge.root(), b"".join(edge.hashes)))
    file.close()
    found = heads.get(ORIGIN)
    assert (found.generation, found.head.size, found.note) == (0, 3, "old")
    # During an upgrade, the former version can still sign. It writes no generation, but its head is another one.
    with sqlite3.connect(settings.LOG_HEADS_FILE) as file:
        file.execute("UPDATE heads SET note = 'newer'")
    file.close()
    with pytest.raises(HeadConflict):
        put(4, found)
    assert put(4, heads.get(ORIGIN)).generation == 1


# --- The directory ------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}")
    return tmp_path


def folder(shared: Path) -> Path:
    return shared / head_text.folder_of(ORIGIN)


def generations(shared: Path) -> list[int]:
    return sorted(int(path.name) for path in folder(shared).iterdir() if path.name.isdigit())


def test_only_generations_far_behind_are_removed_and_nothing_else_is_left(shared: Path) -> None:
    last = None
    for size in range(1, 41):
        last = put(size, last)
    assert generations(shared) == list(range(40 - head_directory.RETAINED, 41))
    assert not list(shared.rglob(".*"))


def test_drafts_of_writers_that_were_killed_are_removed_after_a_day(shared: Path) -> None:
    last = put(1, None)
    old, new = folder(shared) / ".draft-a-1-x", folder(shared) / ".draft-b-2-y"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    put(2, last)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_signer_that_slept_until_its_number_was_removed_moves_nothing(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has compared the head, and stops just before its `link()`. Its number is then free again."""
    first, link = put(1, None), head_directory._link

    def sleep_first(draft: Path, name: Path) -> None:
        monkeypatch.setattr(head_directory, "_link", link)
        last: StoredHead = first
        for size in range(2, 40):
            last = put(size, last, mark=1)
        link(draft, name)

    monkeypatch.setattr(head_directory, "_link", sleep_first)
    with pytest.raises(HeadConflict):
        put(2, first)
    assert heads.get(ORIGIN).head.size == 39
    assert 2 not in generations(shared)


def test_with_rename_two_signers_would_both_move_the_head(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start test finds a directory, or code, that replaces files: nothing is signed there."""
    monkeypatch.setattr(head_directory, "_link", lambda draft, name: os.rename(draft, name))
    with pytest.raises(HeadsUnavailable, match="it replaces files that exist"):
        heads.require_usable()


def test_a_link_whose_answer_was_lost_counts(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS repeats a call without an answer; the repeated call finds the name taken, by its own first call."""
    plain = os.link

    def twice(source: Path, target: Path) -> None:
        plain(source, target)
        plain(source, target)

    monkeypatch.setattr(os, "link", twice)
    assert put(3, None).generation == 1
    with pytest.raises(HeadConflict):
        put(4, None)
    assert heads.get(ORIGIN).head.size == 3


@pytest.mark.parametrize("number", [errno.EPERM, errno.EIO, errno.ENOSPC, errno.ESTALE])
def test_a_link_that_fails_moves_nothing(shared: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    first = put(3, None)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", fail)
        with pytest.raises(HeadsUnavailable):
            put(4, first)
    assert heads.get(ORIGIN).head.size == 3
    assert generations(shared) == [1]


def test_a_share_that_is_not_mounted_is_not_taken_for_one_without_heads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}/none")
    for call in (heads.require_usable, lambda: heads.get(ORIGIN), heads.every, lambda: put(3, None)):
        with pytest.raises(HeadsUnavailable, match="there is no such directory"):
            call()
    assert not (tmp_path / "none").exists()


def test_a_damaged_file_is_refused_and_never_passed_over(shared: Path) -> None:
    last = put(4, put(3, None))
    path = folder(shared) / f"{last.generation:020d}"
    plain = path.read_bytes()
    for content in (b"", plain[:-1], plain.replace(b'"size": 4', b'"size": 3'), plain.replace(b"note", b"nota")):
        path.write_bytes(content)
        with pytest.raises(HeadsUnavailable, match="damaged"):
            heads.get(ORIGIN)
        assert heads.get_many([ORIGIN]) == {}
        with pytest.raises(HeadsUnavailable):
            put(5, last)
    path.write_bytes(plain)
    # Another log's file, or another generation's, is no head of this log.
    (folder(shared) / f"{3:020d}").write_bytes(plain)
    with pytest.raises(HeadsUnavailable, match="damaged"):
        heads.get(ORIGIN)


@pytest.mark.parametrize("what", ["symbolic link", "pipe", "too long", "directory"])
def test_a_hostile_file_in_place_of_a_head_is_refused(shared: Path, what: str) -> None:
    last = put(1, None)
    name = folder(shared) / f"{2:020d}"
    if what == "symbolic link":
        name.symlink_to(folder(shared) / f"{1:020d}")
    elif what == "pipe":
        os.mkfifo(name)
    elif what == "directory":
        name.mkdir()
    else:
        with name.open("wb") as file:
            file.truncate(1 << 40)
    for call in (lambda: heads.get(ORIGIN), lambda: put(2, last), heads.every):
        with pytest.raises(HeadsUnavailable):
            call()


def test_a_full_directory_moves_nothing_and_leaves_no_draft(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = put(1, None)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(head_directory.os, "fsync", full)
    for call in (lambda: put(2, last), heads.require_usable):
        with pytest.raises(HeadsUnavailable, match="No space"):
            call()
    monkeypatch.undo()
    monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{shared}")
    assert heads.get(ORIGIN).is_same(last)
    assert not list(shared.rglob(".*"))
    assert put(2, last).generation == 2


def test_what_a_killed_test_of_the_place_has_left_is_removed_after_a_day(shared: Path) -> None:
    left = [shared / name for name in (".probe-x", ".draft-a-1-x", ".draft-b-2-y")]
    for path in left:
        path.touch()
    for path in left[:2]:
        os.utime(path, (0, 0))
    heads.require_usable()
    assert [path.exists() for path in left] == [False, False, True]
    assert sorted(path.name for path in shared.iterdir()) == [".draft-b-2-y"]


def test_a_reader_whose_generation_was_removed_reads_the_newest(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = put(1, None)
    listed = head_directory._generations(folder(shared))
    for size in range(2, 40):
        last = put(size, last)
    answers = [listed]
    plain = head_directory._generations
    monkeypatch.setattr(head_directory, "_generations", lambda path: answers.pop() if answers else plain(path))
    assert heads.get(ORIGIN).generation == 39


def test_a_listing_that_is_old_is_completed(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = put(3, put(2, put(1, None)))
    monkeypatch.setattr(head_directory, "_generations", lambda path: [1])
    assert heads.get(ORIGIN).is_same(last)


# --- The bucket ---------------------------------------------------------------------------------------------------


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., object_store.Faulty]]:
    servers = []

    def started(*ignores: str) -> object_store.Faulty:
        server = object_store.Faulty(ignores)
        servers.append(server)
        use_bucket(server.endpoint, monkeypatch, prefix="p")
        return server

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("ignored", ["If-Match", "If-None-Match"])
def test_a_store_that_overwrites_is_refused_before_anything_is_written(faulty: Any, ignored: str) -> None:
    server = faulty(ignored)
    with pytest.raises(HeadsUnavailable, match=r"ignores|two writers"):
        heads.require_usable()
    with pytest.raises(HeadsUnavailable, match=r"ignores|two writers"):
        put(3, None)
    assert not [name for name in server.objects if "/probe/" not in name]


def test_the_identity_of_a_place_never_changes(place: str) -> None:
    assert heads.store().identity() == ""
    assert [heads.store().identity(each) for each in ("a", "b", "")] == ["a", "a", "a"]


def test_of_many_hosts_at_the_same_time_one_gives_a_place_its_identity(place: str) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda n=n: found.append(heads.store().identity(f"{n}"))) for n in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 6
    assert len(set(found)) == 1


@pytest.mark.parametrize("fault", ["written, answer lost", "written, then 500", "written, then 409"])
def test_a_write_whose_answer_is_lost_is_read_back_and_counts(faulty: Any, fault: str) -> None:
    server = faulty()
    first = put(3, None)
    server.faults = [fault]
    second = put(4, first)
    assert heads.get(ORIGIN).is_same(second)
    with pytest.raises(HeadConflict):
        put(5, first)


@pytest.mark.parametrize(("fault", "why"), [("refused with 500", "500"), ("refused with 409", "two writes")])
def test_a_write_that_a_fault_has_refused_is_tried_again(faulty: Any, fault: str, why: str) -> None:
    """409 is Amazon S3's ConditionalRequestConflict."""
    server = faulty()
    first = put(3, None)
    server.faults = [fault]
    assert put(4, first).generation == 2
    server.faults = [fault] * head_bucket.ATTEMPTS
    with pytest.raises(HeadsUnavailable, match=why):
        put(5, heads.get(ORIGIN))
    assert heads.get(ORIGIN).head.size == 4


def test_an_answer_that_is_cut_off_is_no_answer(faulty: Any) -> None:
    """A part of a head must not pass for a damaged head, because damaged heads are left out where many are read."""
    server = faulty()
    first = put(3, None)
    for call in (lambda: heads.get(ORIGIN), lambda: heads.get_many([ORIGIN]), heads.every, lambda: put(4, first)):
        server.cuts = 1
        with pytest.raises(HeadsUnavailable, match="does not answer"):
            call()
    server.faults, server.cuts = ["written, then 500"], 0
    plain = head_bucket.Bucket.put

    def cut_the_next_read(bucket: Any, *arguments: Any, **named: Any) -> None:
        server.cuts = 1
        plain(bucket, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head_bucket.Bucket, "put", cut_the_next_read)
        with pytest.raises(HeadsUnavailable):
            put(4, first)
    # Nobody has signed the head that was written. The next signer finds it.
    assert heads.get(ORIGIN).head.size == 4


def test_a_lost_answer_while_another_signer_wrote_is_a_conflict(faulty: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = faulty()
    first = put(3, None)
    plain = head_bucket.Bucket.put

    def other_first(bucket: Any, name: str, body: bytes, *, after: str | None) -> None:
        monkeypatch.setattr(head_bucket.Bucket, "put", plain)
        put(9, first, mark=9)
        server.faults = ["refused with 500"]
        plain(bucket, name, body, after=after)

    monkeypatch.setattr(head_bucket.Bucket, "put", other_first)
    with pytest.raises(HeadConflict):
        put(4, first)
    assert heads.get(ORIGIN).head.size == 9


def test_a_store_that_is_away_or_refuses_the_key_signs_nothing(
    faulty: Any, seaweedfs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_bucket("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(HeadsUnavailable, match="does not answer"):
        heads.get(ORIGIN)
    use_bucket(seaweedfs, monkeypatch)
    monkeypatch.setattr(settings, "LOG_HEADS_S3_SECRET_KEY", "wrong")
    with pytest.raises(HeadsUnavailable, match="403 SignatureDoesNotMatch") as caught:
        heads.get(ORIGIN)
    assert "wrong" not in str(caught.value)
    assert "wrong" not in repr(heads.store())
    monkeypatch.setattr(settings, "LOG_HEADS", "s3://another-bucket/p")
    monkeypatch.setattr(settings, "LOG_HEADS_S3_SECRET_KEY", object_store.SECRET)
    with pytest.raises(HeadsUnavailable):
        heads.get(ORIGIN)


def test_a_store_is_read_over_tls_and_its_certificate_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path), Authority(tmp_path / "other")
    servers = [object_store.Faulty(tls=each.server("localhost")) for each in (authority, other)]
    try:
        good, bad = (f"https://localhost:{server.server_port}" for server in servers)
        use_bucket(good, monkeypatch)
        with pytest.raises(HeadsUnavailable, match="certificate is not accepted"):
            heads.get(ORIGIN)
        monkeypatch.setattr(settings, "LOG_HEADS_S3_CA_FILE", str(authority.path))
        assert put(4, put(3, None)).generation == 2
        assert heads.get(ORIGIN).head.size == 4
        for endpoint in (bad, good.replace("localhost", "127.0.0.1")):
            use_bucket(endpoint, monkeypatch)
            with pytest.raises(HeadsUnavailable, match="certificate is not accepted"):
                heads.get(ORIGIN)
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def test_an_object_of_another_log_or_a_newer_version_is_refused(faulty: Any) -> None:
    server = faulty()
    first = put(3, None)
    name = next(name for name in server.objects if "/heads/" in name and "probe" not in name)
    other = replace(first, head=replace(first.head, origin="lockbox.example.com/log/z"))
    server.objects[name] = head_text.written(other, by="x")
    with pytest.raises(HeadsUnavailable, match="damaged"):
        heads.get(ORIGIN)


# --- From the file to a shared place ------------------------------------------------------------------------------


@pytest.fixture(params=["directory", "bucket"])
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    if request.param == "directory":
        (tmp_path / "shared").mkdir()
        return f"dir://{tmp_path}/shared"
    use_bucket(request.getfixturevalue("seaweedfs"), monkeypatch, prefix="p")
    monkeypatch.setattr(settings, "LOG_HEADS", "")
    return f"s3://{object_store.BUCKET}/moved-{tmp_path.name}"


def test_after_a_move_nobody_signs_at_the_former_place(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put(3, None)
    last = put(4, first)
    other = put(2, None, origin="lockbox.example.com/log/b")
    out = StringIO()
    call_command("log_heads", "move", target, stdout=out, stderr=StringIO())
    assert "2 heads" in out.getvalue()
    assert heads.store(target).identity() == heads.store().identity() != ""
    for call in (lambda: put(5, last), heads.require_usable, lambda: heads.renew([last])):
        with pytest.raises(HeadsUnavailable, match=f"set LOG_HEADS={target}"):
            call()
    assert heads.get(ORIGIN).is_same(last)
    monkeypatch.setattr(settings, "LOG_HEADS", target)
    assert [each.head for each in heads.every()] == [last.head, other.head]
    assert put(5, last).generation == last.generation + 1
    # Repeated, as after an interruption, it takes nothing back.
    monkeypatch.setattr(settings, "LOG_HEADS", "")
    call_command("log_heads", "move", target, stdout=StringIO(), stderr=StringIO())
    monkeypatch.setattr(settings, "LOG_HEADS", target)
    assert heads.get(ORIGIN).head.size == 5


def test_a_signer_that_wakes_up_after_the_move_moves_nothing(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head moves while the heads are copied. The last state of the file is copied before it is closed."""
    first = put(3, None)
    plain = head_file.File.leave

    def sign_first(file: Any, place: str) -> None:
        put(4, first)
        plain(file, place)

    monkeypatch.setattr(head_file.File, "leave", sign_first)
    moving_heads.move(target)
    with pytest.raises(HeadsUnavailable):
        put(5, heads.get(ORIGIN))
    monkeypatch.setattr(settings, "LOG_HEADS", target)
    assert heads.get(ORIGIN).head.size == 4


def test_a_move_to_a_place_with_newer_or_other_heads_is_refused_and_changes_nothing(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = put(3, None)
    for size, mark in ((4, 0), (3, 1)):
        monkeypatch.setattr(settings, "LOG_HEADS", target)
        heads_there = heads.get(ORIGIN)
        if heads_there is None:
            put(size, None, mark=mark)
        monkeypatch.setattr(settings, "LOG_HEADS", "")
        with pytest.raises(CommandError, match="has another head"):
            call_command("log_heads", "move", target)
        assert put(3, last).generation == last.generation + 1
        last = replace(last, generation=last.generation + 1)


def test_a_move_to_the_place_of_another_installation_is_refused(target: str) -> None:
    last = put(3, None)
    heads.store(target).identity("another")
    with pytest.raises(CommandError, match="of another installation"):
        call_command("log_heads", "move", target)
    assert heads.store(target).every() == []
    assert put(4, last).head.size == 4


def test_a_move_to_a_place_that_cannot_be_used_leaves_the_file_in_use(tmp_path: Path) -> None:
    last = put(3, None)
    with pytest.raises(CommandError, match="no such directory"):
        call_command("log_heads", "move", f"dir://{tmp_path}/none")
    with pytest.raises(CommandError, match="must be dir"):
        call_command("log_heads", "move", str(tmp_path))
    assert put(4, last).head.size == 4


def test_the_command_checks_the_place_and_shows_who_signs(shared: Path, db: None) -> None:
    put(3, None)
    out = StringIO()
    call_command("log_heads", "check", stdout=out)
    assert f"{shared} can be used; it has 1 head." in out.getvalue()
    assert "No host has signed yet." in out.getvalue()
