"""Copies of the signed heads in another place: an older head never takes the place of a newer one."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from audit_app import head_copies, head_text, heads
from audit_app.head_copies import CopyDiffers
from audit_app.notes import Head
from audit_app.restored_heads import Choice, Fork
from audit_app.stored_heads import HeadsUnavailable, StoredHead
from audit_app.tree import Frontier

ORIGIN, OTHER = "lockbox.example/log/1", "lockbox.example/log/2"


def stored(size: int, *, origin: str = ORIGIN, salt: bytes = b"") -> StoredHead:
    frontier = Frontier()
    frontier.extend(bytes([number % 256]) * 31 + (salt or b"a") for number in range(size))
    return StoredHead(Head(origin, size, frontier.root()), frontier, f"{origin}\n{size}\n")


def test_each_log_has_its_largest_head(tmp_path: Path) -> None:
    for size in (3, 9, 10, 4):
        head_copies.copy([stored(size), stored(5, origin=OTHER)], tmp_path)
    found = {each.head.origin: each for each in head_copies.read(tmp_path)}
    assert {origin: each.head.size for origin, each in found.items()} == {ORIGIN: 10, OTHER: 5}
    assert found[ORIGIN].frontier.root() == stored(10).head.root
    assert found[ORIGIN].note == stored(10).note


def test_an_older_head_replaces_no_newer_one_and_is_reported(tmp_path: Path) -> None:
    head_copies.copy([stored(10)], tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = head_copies.copy([stored(7), stored(1, origin=OTHER)], tmp_path)
    assert (done.new, done.newer_there) == (1, 1)
    assert before.items() <= {path.name: path.read_bytes() for path in tmp_path.iterdir()}.items()


def test_another_head_of_the_same_size_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    head_copies.copy([stored(10)], tmp_path)
    with pytest.raises(CopyDiffers, match=ORIGIN):
        head_copies.copy([stored(10, salt=b"b"), stored(4, origin=OTHER)], tmp_path)
    found = {each.head.origin: each.head for each in head_copies.read(tmp_path)}
    assert found == {ORIGIN: stored(10).head, OTHER: stored(4, origin=OTHER).head}, "the other logs are copied"


def test_two_copies_at_once_leave_the_newer_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower copy has decided before the faster one wrote, and writes afterwards."""
    real = head_copies._newest

    def overtaken(directory: Path) -> Any:
        found = real(directory)
        monkeypatch.setattr(head_copies, "_newest", real)
        head_copies.copy([stored(10)], directory)
        return found

    monkeypatch.setattr(head_copies, "_newest", overtaken)
    head_copies.copy([stored(7)], tmp_path)
    (found,) = head_copies.read(tmp_path)
    assert found.head.size == 10


def test_the_names_of_copies_are_on_the_disk_before_older_ones_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head_copies.copy([stored(size) for size in (1, 2)], tmp_path)
    seen, plain = [], os.fsync

    def fsync(handle: int) -> None:
        plain(handle)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            seen.append({path.name.split(".")[1] for path in tmp_path.glob("*.head")})

    monkeypatch.setattr(os, "fsync", fsync)
    head_copies.copy([stored(3)], tmp_path)
    assert seen == [{f"{size:020d}" for size in (1, 2, 3)}]
    assert len(list(tmp_path.glob("*.head"))) == 2


def test_a_store_takes_only_newer_heads(tmp_path: Path) -> None:
    (store := tmp_path / "store").mkdir()
    place = f"dir://{store}"
    for size in (9, 10, 7):
        done = head_copies.copy_to([stored(size), stored(5, origin=OTHER)], place)
    assert (done.new, done.newer_there) == (0, 1)
    found = {each.head.origin: each.head.size for each in head_copies.read_from(place)}
    assert found == {ORIGIN: 10, OTHER: 5}
    with pytest.raises(CopyDiffers, match=ORIGIN):
        head_copies.copy_to([stored(10, salt=b"b")], place)
    assert {each.head for each in head_copies.read_from(place)} == {stored(10).head, stored(5, origin=OTHER).head}


@pytest.mark.django_db
def test_a_restore_replaces_no_head_that_another_host_has_moved_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LOG_HEADS_FILE", tmp_path / "heads.sqlite3")
    choice = Choice({ORIGIN: stored(7), OTHER: stored(5, origin=OTHER)})
    heads.put(stored(9).head, stored(9).frontier, "", after=None)
    choice.store()
    assert {each.head.size for each in heads.every()} == {9, 5}
    with pytest.raises(Fork):
        Choice({ORIGIN: stored(9, salt=b"b")}).store()
    assert heads.get(ORIGIN).head == stored(9).head


def test_old_heads_and_forgotten_drafts_are_removed_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (draft := tmp_path / f".{'0' * 32}.{'1' * 16}").write_text("half")
    os.utime(draft, (0, 0))
    for size in range(1, 8):
        head_copies.copy([stored(size)], tmp_path)
    sizes = sorted(int(path.name.split(".")[1]) for path in tmp_path.glob("*.head"))
    assert sizes == [6, 7]
    assert (tmp_path / "notes.txt").exists()
    assert not draft.exists()


@pytest.mark.parametrize("change", ["cut", "root", "size", "checksum", "name", "huge"])
def test_a_damaged_copy_is_never_read_as_a_head(change: str, tmp_path: Path) -> None:
    head_copies.copy([stored(10)], tmp_path)
    (path,) = tmp_path.glob("*.head")
    good = stored(10)
    if change == "root":
        path.write_bytes(head_text.written(replace(good, head=replace(good.head, root=b"r" * 32)), by=""))
    elif change == "size":
        path.write_bytes(head_text.written(replace(good, head=replace(good.head, size=8)), by=""))
    elif change == "name":
        path.write_bytes(head_text.written(stored(10, origin=OTHER), by=""))
    else:
        text = path.read_bytes()
        changed = {
            "cut": text[:-9],
            "checksum": text.replace(b'"size": 10', b'"size": 11'),
            "huge": text + b" " * (2 << 20),
        }
        assert changed[change] != text
        path.write_bytes(changed[change])
    with pytest.raises(HeadsUnavailable, match="damaged"):
        head_copies.read(tmp_path)


def test_the_command_copies_without_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may use the database without a mark, so this one proves that the command doesn't need it."""
    monkeypatch.setattr(settings, "LOG_HEADS_FILE", tmp_path / "heads.sqlite3")
    monkeypatch.setattr("requests_app.work.heartbeats.touch", lambda *_given, **_more: None)
    heads.put(stored(3).head, stored(3).frontier, stored(3).note, after=None)
    (to := tmp_path / "elsewhere").mkdir()
    out = io.StringIO()
    call_command("log_heads", "copy", to=str(to), stdout=out)
    assert out.getvalue() == "1 new head was copied.\n"
    head_copies.copy([stored(9)], to)
    with pytest.raises(CommandError, match="older copy"):
        call_command("log_heads", "copy", to=str(to), stdout=out)
    with pytest.raises(CommandError, match="can't be used"):
        call_command("log_heads", "copy", to=str(tmp_path / "missing"), stdout=out)
