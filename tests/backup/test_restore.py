"""`customer-lockbox restore`: everything or nothing, into an empty place, and what the signer then does."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from audit_app import checkpoints, cosigning, heads, queries, search_index, unwitnessed
from audit_app.checkpoints import Refusal
from audit_app.models import AuditEntry, IndexedSegment, LogAlarm, Witness
from lockbox_site import readiness
from lockbox_site.backup import archive, contents, finishing, loading, making, restoring, schema, sealing
from lockbox_site.backup.making import Made
from lockbox_site.installing import environment_file
from requests_app.domain import clock
from requests_app.models import Person, Restoration
from tests import object_store
from tests.backup.conftest import LONG, RECIPIENT, SHORT, Place, append, new_place, restore
from tests.witness import SmallWitness

Restored = list[dict[str, Any]]


def log(place: Place, *what: str) -> None:
    """Append an entry for each text to the long log, and sign it."""
    with place.used():
        append(LONG, *range(800, 800 + len(what)))
        checkpoints.sign(LONG, at=clock.now())


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that was printed."""
    printed = capsys.readouterr().err.strip()
    assert printed.startswith("lockbox: ")
    assert "\n" not in printed
    assert "Traceback" not in printed
    return printed.removeprefix("lockbox: ")


# --- A restore that succeeds -----------------------------------------------------------------------------


def test_a_restored_installation_has_all_rows_keys_and_heads(
    source: Place,
    backup: Made,
    target: Place,
    identity: Path,
    restored: Restored,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert restore(target, backup.path, identity) == 0
    printed = capsys.readouterr().out
    assert f"Backup {backup.backup_id}" in printed
    assert target.sizes() == source.sizes()
    assert (target.data / "log_key").read_bytes() == (source.data / "log_key").read_bytes()
    moved = {
        name: value.replace(str(source.data), str(target.data))
        for name, value in environment_file.read(source.data / ".env").items()
    }
    if connection.vendor == "postgresql":
        # The place of the database is the one that the environment of this machine has named.
        moved["DATABASE_URL"] = os.environ["DATABASE_URL"]
    else:
        assert f"These settings lead to {target.data} now: DATABASE_URL, LOG_HEADS_FILE." in printed
    assert environment_file.read(target.data / ".env") == moved
    assert {(target.data / name).stat().st_mode & 0o777 for name in ("log_key", ".env")} == {0o600}
    assert target.files == {*source.files}, "nothing else is left"
    (call,) = restored
    assert call["backup_id"] == backup.backup_id
    assert call["taken_at"] < call["at"]
    assert call["logs"] == len(source.sizes()), "it is called when all rows are there"
    with source.used():
        people = set(Person.objects.values_list("email", flat=True))
        stored = {each.head.origin: each.head for each in heads.every()}
    with target.used():
        assert set(Person.objects.values_list("email", flat=True)) == people
        assert {each.head.origin: each.head for each in heads.every()} == stored
        # The search index is made again from the entries.
        assert not IndexedSegment.objects.exists()
        monkeypatch.setattr(search_index, "SEGMENT", 64)
        assert search_index.work(lambda: False) == 10
        assert not search_index.due()
        # Rows that are made next get new ids.
        assert AuditEntry.objects.order_by("-pk").values_list("pk", flat=True)[0] == 703
        append(SHORT, 9)
        assert AuditEntry.objects.latest("pk").pk == 704
    if connection.vendor == "postgresql":
        with target.used(), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity")
            assert cursor.fetchone() == (0,)
            cursor.execute("SELECT set_config('lockbox.tenants', %s, false)", [str(SHORT)])
            assert set(AuditEntry.objects.values_list("tenant_id", flat=True)) == {SHORT}, "rows are hidden again"


@pytest.mark.sqlite
def test_with_the_heads_that_were_in_use_the_signer_goes_on(
    source: Place, backup: Made, target: Place, identity: Path, restored: Restored
) -> None:
    shutil.copy(source.data / "log_heads.sqlite3", target.data / "log_heads.sqlite3")
    assert restore(target, backup.path, identity) == 0
    with target.used():
        assert not LogAlarm.objects.exists()
        append(LONG, 900)
        assert checkpoints.sign(LONG, at=clock.now()).size == 701


def copy_database(source: Place, place: Place) -> None:
    with closing(sqlite3.connect(source.database)) as before, closing(sqlite3.connect(place.database)) as after:
        before.backup(after)


@pytest.fixture
def later(source: Place, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A copy of the source in which more was signed than the backup has."""
    with new_place(tmp_path / "later") as place:
        for name in ("log_heads.sqlite3", "log_key"):
            shutil.copy(source.data / name, place.data / name)
        copy_database(source, place)
        log(place, "one", "two")
        yield place


@pytest.fixture(scope="module")
def bucket() -> Iterator[pytest.MonkeyPatch]:
    """SeaweedFS, with the settings that lead to it."""
    with object_store.seaweedfs() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in object_store.settings_of(endpoint).items():
            patch.setattr(settings, name, value)
        yield patch


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "place",
    ["here", "copied", pytest.param("copied to a bucket", marks=pytest.mark.deep),
     pytest.param("in a bucket", marks=pytest.mark.deep)],
)  # fmt: skip
def test_a_log_that_was_signed_after_the_backup_is_refused_until_a_tombstone(
    backup: Made, later: Place, target: Place, identity: Path, restored: Restored, place: str, capsys: Any,
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    """The newer heads are on this machine, were copied to another place, or are in a place that several hosts share."""
    words = []
    if place == "here":
        shutil.copy(later.data / "log_heads.sqlite3", target.data / "log_heads.sqlite3")
    else:
        (elsewhere := target.data.parent / "elsewhere").mkdir()
        to = str(elsewhere)
        if "bucket" in place:
            request.getfixturevalue("bucket")
            to = f"s3://{object_store.BUCKET}/{place.replace(' ', '-')}"
        with later.used():
            call_command("log_heads", "copy", to=to, stdout=io.StringIO())
        if place == "in a bucket":
            monkeypatch.setattr(settings, "LOG_HEADS", to)
        else:
            words = ["--heads", to]
    assert restore(target, backup.path, identity, *words) == 0
    assert "1 logs are shorter than they were signed" in capsys.readouterr().out
    with target.used():
        alarm = LogAlarm.objects.get(pk=LONG)
        assert (alarm.code, alarm.detail["signed"], alarm.detail["found"]) == ("shorter", 702, 700)
        assert heads.get(checkpoints.origin_of(LONG, 0)).head.size == 702, "the newer head is the one that is stored"
        with pytest.raises(Refusal, match="shorter"):
            checkpoints.sign(LONG, at=clock.now())
        assert checkpoints.sign(SHORT, at=clock.now()).size == 3, "the other log goes on"
        call_command("tombstone", str(LONG), because="the disk burned", stdout=io.StringIO())
        assert checkpoints.sign(LONG, at=clock.now()).shard == 1
        assert queries.size(LONG) == 703, "no number is used twice"


@pytest.mark.sqlite
@pytest.mark.parametrize("place", ["here", "copied"])
def test_heads_that_were_old_when_the_backup_was_made_prove_nothing(
    source: Place, later: Place, target: Place, identity: Path, restored: Restored, tmp_path: Path, place: str,
    capsys: Any,
) -> None:  # fmt: skip
    """They are shorter than those in the backup. So they don't show either what was signed after it."""
    (elsewhere := tmp_path / "elsewhere").mkdir()
    with source.used():
        call_command("log_heads", "copy", to=str(elsewhere), stdout=io.StringIO())
    if place == "here":
        shutil.copy(source.data / "log_heads.sqlite3", target.data / "log_heads.sqlite3")
    with later.used():
        made = making.make(tmp_path, sealing.readers([RECIPIENT], None), at=clock.now())
    assert restore(target, made.path, identity, *(["--heads", str(elsewhere)] if place == "copied" else [])) == 0
    assert "The newest heads of 1 logs are lost" in capsys.readouterr().out
    with target.used():
        assert unwitnessed.logs() == [LONG], "the other log has the same head in both"
        with pytest.raises(Refusal, match="unwitnessed"):
            checkpoints.sign(LONG, at=clock.now())
        assert checkpoints.sign(SHORT, at=clock.now()) is not None


@pytest.mark.sqlite
def test_a_clock_that_is_late_is_refused(
    backup: Made, later: Place, target: Place, identity: Path, restored: Restored, travel: Any, capsys: Any
) -> None:
    """Otherwise the 72 hours in which only people of the backup can confirm would be over as soon as it is right."""
    with later.used():
        travel.by(hours=73)
        append(LONG, 803)
        checkpoints.sign(LONG, at=clock.now())
        travel.back()
    shutil.copy(later.data / "log_heads.sqlite3", target.data / "log_heads.sqlite3")
    assert restore(target, backup.path, identity) == 1
    assert "Correct the clock" in refused(capsys)
    assert (target.is_empty, target.files, restored) == (True, {"log_heads.sqlite3"}, [])


# --- Only the backup's heads -----------------------------------------------------------------------------


def ask(*small: SmallWitness) -> None:
    by_name = {each.verifier.name: each for each in small}
    cosigning.collect(clock.now, lambda url, body: by_name[url.split("/")[2]].post(url, body))


def register(witness: SmallWitness) -> None:
    at = clock.now()
    url = f"https://{witness.verifier.name}/w"
    Witness.objects.create(tenant_id=LONG, vkey=witness.vkey, url=url, added_at=at, due_at=at)


@pytest.fixture
def witnessed(source: Place, tmp_path: Path) -> Iterator[tuple[Made, SmallWitness, Place]]:
    """A backup of an installation whose long log has a witness."""
    witness = SmallWitness()
    with new_place(tmp_path / "witnessed") as place:
        for name in ("log_heads.sqlite3", "log_key"):
            shutil.copy(source.data / name, place.data / name)
        env = (source.data / ".env").read_text()
        (place.data / ".env").write_text(env.replace(str(source.data), str(place.data)))
        copy_database(source, place)
        with place.used():
            register(witness)
            ask(witness)
            assert Witness.objects.get().cosigned_at is not None
            made = making.make(tmp_path, sealing.readers([RECIPIENT], None), at=clock.now())
        yield made, witness, place


@pytest.mark.sqlite
def test_with_only_the_backups_heads_the_signer_waits_for_the_witness(
    witnessed: tuple[Made, SmallWitness, Place], target: Place, identity: Path, restored: Restored, capsys: Any
) -> None:
    made, witness, _before = witnessed
    assert restore(target, made.path, identity) == 0
    assert "The newest heads of 2 logs are lost" in capsys.readouterr().out
    with target.used():
        assert set(unwitnessed.logs()) == {LONG, SHORT}
        with pytest.raises(Refusal, match="unwitnessed"):
            checkpoints.sign(LONG, at=clock.now())
        assert readiness.STATES["heads"](clock.now())["set_back"] == 2
        ask(witness)
        assert checkpoints.sign(LONG, at=clock.now()) is not None
        assert unwitnessed.logs() == [SHORT], "a log without a witness still waits"


@pytest.mark.sqlite
def test_a_witness_that_knows_a_longer_log_stops_the_signer(
    witnessed: tuple[Made, SmallWitness, Place], target: Place, identity: Path, restored: Restored
) -> None:
    made, witness, before = witnessed
    log(before, "one")
    with before.used():
        ask(witness)
    assert restore(target, made.path, identity) == 0
    with target.used():
        ask(witness)
        with pytest.raises(Refusal, match="unwitnessed"):
            checkpoints.sign(LONG, at=clock.now())
        assert "longer 701" in LogAlarm.objects.get(pk=LONG).detail["problems"]
        call_command("tombstone", str(LONG), because="the backup was too old", stdout=io.StringIO())
        assert checkpoints.sign(LONG, at=clock.now()).shard == 1


@pytest.mark.sqlite
def test_an_operator_can_confirm_a_log_and_the_log_says_so(
    witnessed: tuple[Made, SmallWitness, Place], target: Place, identity: Path, restored: Restored
) -> None:
    made, _witness, _before = witnessed
    assert restore(target, made.path, identity) == 0
    with target.used():
        words = ["adopt", "--all-restored", "--because", "nothing was signed"]
        call_command("log_heads", *words, stdout=io.StringIO(), stderr=io.StringIO())
        assert unwitnessed.logs() == []
        for each in (LONG, SHORT):
            last = AuditEntry.objects.filter(tenant_id=each).order_by("-seq").first()
            assert last.event == "log.head_adopted"
            assert b"unwitnessed" in bytes(last.canonical)
            assert checkpoints.sign(each, at=clock.now()) is not None


# --- What is refused -------------------------------------------------------------------------------------


def damaged(file: Path, at: int) -> bytes:
    raw = bytearray(file.read_bytes())
    raw[at] ^= 1
    return bytes(raw)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.read_bytes()[:-1], "damaged or not complete"),
        (lambda file: file.read_bytes()[: file.stat().st_size // 2], "damaged or not complete"),
        (lambda file: b"", "is not a backup"),
        (lambda file: file.read_bytes() + b"x", "damaged or not complete"),
        (lambda file: file.read_bytes() + file.read_bytes(), "damaged or not complete"),
        (lambda file: damaged(file, -20), "damaged or not complete"),
        (lambda file: damaged(file, file.stat().st_size // 2), "damaged or not complete"),
        (lambda file: damaged(file, 60), "(damaged|not one of those)"),
        (lambda file: b"SQLite format 3\0", "is not a backup"),
    ],
)
def test_a_damaged_file_is_refused_and_nothing_is_written(
    change: Callable[[Path], bytes], words: str, backup: Made, target: Place, identity: Path,
    restored: Restored, tmp_path: Path, capsys: Any,
) -> None:  # fmt: skip
    (file := tmp_path / "backup.age").write_bytes(change(backup.path))
    assert restore(target, file, identity) == 1
    assert re.search(words, refused(capsys))
    assert (target.is_empty, target.files, restored) == (True, set(), [])


def test_the_wrong_key_and_the_wrong_passphrase_are_refused(
    source: Place, backup: Made, target: Place, restored: Restored, tmp_path: Path, capsys: Any
) -> None:
    import pyrage

    (other := tmp_path / "other").write_text(str(pyrage.x25519.Identity.generate()))
    assert restore(target, backup.path, other) == 1
    assert "not one of those for which" in refused(capsys)
    (secret := tmp_path / "passphrase").write_text("correct horse battery")
    with source.used():
        made = making.make(tmp_path, sealing.readers([], secret), at=clock.now())
    assert restore(target, made.path, other) == 1
    assert "--passphrase-file" in refused(capsys)
    secret.write_text("another horse battery")
    with target.used():
        words = [str(made.path), "--passphrase-file", str(secret)]
        assert restoring.run(words, data=target.data, program="lockbox") == 1
    assert "The passphrase is wrong" in refused(capsys)
    assert (target.is_empty, target.files) == (True, set())


@pytest.mark.sqlite
def test_a_key_in_an_hsm_that_the_operator_gives_is_used(
    backup: Made, target: Place, identity: Path, restored: Restored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_KEY", IN_HSM)
    members = changed(backup, contents.KEYS, lambda keys: keys | {"LOG_KEY": IN_HSM})
    assert restore(target, written(tmp_path, members), identity) == 0
    assert "pkcs11" not in (target.data / ".env").read_text(), "as every setting that the environment has"


def test_nothing_is_overwritten(
    source: Place, backup: Made, target: Place, identity: Path, restored: Restored, capsys: Any
) -> None:
    before = source.files, source.sizes()
    assert restore(source, backup.path, identity) == 1
    assert re.search("There is a database already|The database is not empty", refused(capsys))
    for name, content in {
        ".env": "SECRET_KEY=of-another-installation-of-another-installation\n",
        "secret_key": "of-another-installation-of-another-installation",
        "log_key": "lockbox-log-key-v1 QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n",
    }.items():
        (file := target.data / name).write_text(content)
        file.chmod(0o600)
        assert restore(target, backup.path, identity) == 1
        assert "there is an installation here" in refused(capsys)
        assert target.files == {name}
        assert file.read_text() == content
        file.unlink()
    assert (source.files, source.sizes(), target.is_empty, restored) == (*before, True, [])


@pytest.mark.sqlite
def test_heads_of_another_log_are_refused(
    source: Place, backup: Made, target: Place, identity: Path, restored: Restored, capsys: Any
) -> None:
    """A fork with as many entries, a fork with fewer, and the heads of another installation."""
    with source.used():
        stored = heads.get(checkpoints.origin_of(LONG, 0))
    for statement, words in (
        ("UPDATE heads SET root = zeroblob(32) WHERE size = 700", "damaged"),
        ("FORK", "is not of the log in this backup"),
        ("UPDATE heads SET origin = 'other.example/log/' || substr(origin, instr(origin, '/log/') + 5)",
         "another installation"),
    ):  # fmt: skip
        file = shutil.copy(source.data / "log_heads.sqlite3", target.data / "log_heads.sqlite3")
        with closing(sqlite3.connect(file)) as raw, raw:
            if statement == "FORK":
                frontier = stored.frontier.copy()
                frontier.hashes[0] = bytes(32)
                raw.execute(
                    "UPDATE heads SET root = ?, frontier = ? WHERE size = 700",
                    [frontier.root(), b"".join(frontier.hashes)],
                )
            else:
                raw.execute(statement)
        assert restore(target, backup.path, identity) == 1
        assert words in refused(capsys)
        assert (target.is_empty, target.files) == (True, {"log_heads.sqlite3"})


def written(tmp_path: Path, members: list[tuple[str, bytes]], pieces: Any = None) -> Path:
    """Write an encrypted archive with any content."""
    path = tmp_path / "hostile.age"
    with path.open("wb") as out:
        sealing.seal(pieces or archive.packed(iter(members)), out, sealing.readers([RECIPIENT], None))
    return path


def changed(backup: Made, name: str, change: Callable[[Any], Any]) -> list[tuple[str, bytes]]:
    """Return the files of a backup, with one JSON file changed and a manifest that fits."""
    with sealing.opened(backup.path, backup.opener) as pieces:
        members = dict(archive.unpacked(pieces))
    is_text = name in (contents.ENV, contents.LOG_KEY)
    content = members[name].decode() if is_text else json.loads(members[name])
    new = change(content)
    members[name] = new.encode() if isinstance(new, str) else contents.as_json(new)
    manifest = json.loads(members.pop(contents.MANIFEST))
    import hashlib

    if name in manifest["files"]:
        manifest["files"][name] = hashlib.sha256(members[name]).hexdigest()
    return [*members.items(), (contents.MANIFEST, contents.as_json(manifest))]


#: A key in an HSM, with a library of an attacker.
IN_HSM = "pkcs11:token=x;object=y?module-path=/tmp/evil.so&pin-source=file:/tmp/pin"


def with_header(**values: Any) -> Callable[[Any], Any]:
    return lambda header: header | values


def unknown_migration(header: Any) -> Any:
    return header | {"version": "9.0.0", "migrations": [*header["migrations"], ["requests_app", "0999_future"]]}


def other_tables(header: Any) -> Any:
    return header | {"columns": header["columns"] | {'x"; DROP TABLE requests_app_person; --': ["id"]}}


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (contents.HEADER, unknown_migration, "newer version, 9.0.0"),
        (contents.HEADER, with_header(format=2), "another format"),
        (contents.HEADER, with_header(migrations=[["requests_app", "0001_initial"]]), "too old"),
        (contents.HEADER, with_header(database="postgresql"), "a backup of postgresql"),
        (contents.HEADER, with_header(backup_id="../../x"), "damaged"),
        (contents.HEADER, with_header(columns=7), "damaged"),
        (contents.HEADER, other_tables, "(damaged|does not fit)"),
        (contents.HEADS, lambda heads: [["o", 10**30, "", "", ""]], "damaged"),
        (contents.ENV, lambda env: env + "LD_PRELOAD=/tmp/x.so\n", "LD_PRELOAD"),
        (contents.ENV, lambda env: env + "OPENSSL_CONF=/tmp/x.cnf\n", "OPENSSL_CONF"),
        (contents.ENV, lambda env: env + "SSLKEYLOGFILE=/tmp/x\n", "SSLKEYLOGFILE"),
        (contents.KEYS, lambda keys: {"PYTHONPATH": "/tmp"}, "PYTHONPATH"),
        (contents.HEADER, with_header(taken_at="2999-01-01T00:00:00+00:00"), "Correct the clock"),
        (contents.HEADER, with_header(taken_at="2020-01-01T00:00:00+00:00"), "but it has an entry of"),
        (contents.ENV, lambda env: env + f"LOG_KEY={IN_HSM}\n", "no library is taken from a backup"),
        (contents.KEYS, lambda keys: keys | {"LOG_KEY": IN_HSM}, "no library is taken from a backup"),
        (contents.LOG_KEY, lambda key: f"{key}{IN_HSM}\n", "no library is taken from a backup"),
    ],
)
def test_a_backup_with_another_content_is_refused_and_nothing_is_written(
    name: str, change: Callable[[Any], Any], words: str, backup: Made, target: Place, identity: Path,
    restored: Restored, tmp_path: Path, capsys: Any,
) -> None:  # fmt: skip
    file = written(tmp_path, changed(backup, name, change))
    assert restore(target, file, identity) == 1
    assert re.search(words, refused(capsys))
    assert (target.is_empty, target.files, restored) == (True, set(), [])


@pytest.mark.sqlite
def test_a_backup_that_says_that_it_was_restored_already_is_refused(
    source: Place, target: Place, identity: Path, restored: Restored, tmp_path: Path, capsys: Any
) -> None:
    """Its restoration is one of its rows. Without the refusal, nothing would be closed or confirmed."""
    with new_place(tmp_path / "edited") as place:
        shutil.copy(source.data / "log_key", place.data / "log_key")
        copy_database(source, place)
        with place.used():
            at = clock.now()
            listed = Restoration.objects.create(
                pk=uuid4(), taken_at=at, restored_at=at, people_needed=1, confirmed_at=at
            )
            made = making.make(tmp_path, sealing.readers([RECIPIENT], None), at=at)
    file = written(tmp_path, changed(made, contents.HEADER, with_header(backup_id=str(listed.pk))))
    assert restore(target, file, identity) == 1
    assert "restored before it was made" in refused(capsys)
    assert (target.is_empty, target.files, restored) == (True, set(), [])


def bomb() -> Iterator[bytes]:
    packer = zlib.compressobj(level=9, wbits=31)
    for _ in range(64):
        yield packer.compress(bytes(1 << 20))


@pytest.mark.parametrize("kind", ["traversal", "link", "bomb", "huge", "no_manifest", "pickle"])
def test_a_hostile_archive_does_no_harm(
    kind: str, backup: Made, target: Place, identity: Path, restored: Restored, tmp_path: Path, capsys: Any
) -> None:
    import tarfile

    with sealing.opened(backup.path, backup.opener) as pieces:
        members = list(archive.unpacked(pieces))
    info = tarfile.TarInfo("../../outside")
    if kind == "link":
        info = tarfile.TarInfo("settings/env")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    if kind == "huge":
        info = tarfile.TarInfo("heads")
        info.size = 1 << 40
    if kind == "bomb":
        file = written(tmp_path, [], bomb())
    elif kind == "no_manifest":
        file = written(tmp_path, members[:-1])
    elif kind == "pickle":
        file = written(tmp_path, [members[0], ("tables/django_q_ormq/1", b"x\n"), *members[1:]])
    else:
        packer = zlib.compressobj(wbits=31)
        head = info.tobuf(tarfile.GNU_FORMAT if kind == "huge" else tarfile.USTAR_FORMAT)
        file = written(
            tmp_path,
            [],
            [
                packer.compress(head),
                packer.flush(),
            ],
        )
    assert restore(target, file, identity) == 1
    assert "damaged or not complete" in refused(capsys)
    assert (target.is_empty, target.files, restored) == (True, set(), [])
    assert not (tmp_path / "outside").exists()


@pytest.mark.sqlite
def test_a_log_that_was_changed_in_the_backup_is_refused(
    source: Place, target: Place, identity: Path, restored: Restored, tmp_path: Path, capsys: Any
) -> None:
    """The file is whole and its hashes are right, but an entry is another one than was signed."""
    with new_place(tmp_path / "forged") as place:
        shutil.copy(source.data / "log_key", place.data / "log_key")
        copy_database(source, place)
        with closing(sqlite3.connect(place.database)) as after, after:
            after.execute("DROP TRIGGER audit_entry_no_update")
            after.execute("UPDATE audit_app_auditentry SET actor_name = 'forged' WHERE seq = 400")
        with place.used():
            made = making.make(tmp_path, sealing.readers([RECIPIENT], None), at=clock.now())
    assert restore(target, made.path, identity) == 1
    assert "entry 400" in refused(capsys)
    assert (target.is_empty, target.files, restored) == (True, set(), [])


# --- Interrupted -----------------------------------------------------------------------------------------


class Killed(BaseException):
    """Ends the command as SIGKILL does: nothing of the product catches it."""


STEPS = {
    "before the rows": (schema, "require_fits"),
    "before the logs are verified": (loading, "require_good_logs"),
    "before the files": (finishing.Finish, "_write_files"),
    "before the heads": (finishing.Finish, "_store"),
    "after the heads": (loading, "sync"),
}


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=pytest.mark.deep if "rows" in step or "verified" in step else ()) for step in STEPS],
)
def test_a_restore_that_was_killed_leaves_nothing_usable_and_can_be_run_again(
    step: str, backup: Made, target: Place, identity: Path, restored: Restored, source: Place
) -> None:
    def kill(*_given: Any, **_more: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*STEPS[step], kill)
        with pytest.raises(Killed):
            restore(target, backup.path, identity)
    assert target.is_empty
    assert restore(target, backup.path, identity) == 0
    assert target.sizes() == source.sizes()
    assert target.files == source.files
    with target.used():
        assert set(unwitnessed.logs()) == {LONG, SHORT}, "heads that the first attempt stored are not taken for newer"


@pytest.mark.sqlite
def test_what_a_killed_restore_left_is_removed(backup: Made, target: Place, identity: Path, restored: Restored) -> None:
    for name in (".lockbox.sqlite3.restore-999999999-0123abcd", ".lockbox.sqlite3.restore-999999999-0123abcd-wal"):
        (target.data / name).write_bytes(b"half")
    # A write-ahead log without its database would be read as a part of the new one.
    (target.data / "lockbox.sqlite3-wal").write_bytes(b"of another database")
    assert restore(target, backup.path, identity) == 0
    assert not [name for name in os.listdir(target.data) if name.startswith(".lockbox")]
    with target.used(), connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        assert cursor.fetchone() == ("ok",)


@pytest.mark.postgres
def test_a_failure_at_the_last_step_rolls_everything_back(
    source: Place, backup: Made, target: Place, identity: Path, restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing.Finish, "_store", lambda *_given: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        restore(target, backup.path, identity)
    assert len(restored) == 1
    assert target.is_empty


def test_check_reads_everything_and_writes_nothing(
    backup: Made, target: Place, identity: Path, restored: Restored, capsys: Any
) -> None:
    assert restore(target, backup.path, identity, "--check") == 0
    assert "The file is complete" in capsys.readouterr().out
    assert (target.is_empty, target.files, restored) == (True, set(), [])


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("LOG_KEY_FILE={outside}/authorized_keys", "LOG_KEY_FILE"),
        ("LOG_HEADS_FILE={inside}/../outside/heads", "LOG_HEADS_FILE"),
        ("LOG_HEADS=dir://{outside}/heads", "LOG_HEADS"),
        ("LOG_HEADS={outside}/heads", "LOG_HEADS"),
        ("LOG_HEADS=s3://lockbox-heads/live", "LOG_HEADS"),
        ("DATABASE_URL=sqlite:///{outside}/lockbox.sqlite3", "DATABASE_URL"),
    ],
)
def test_settings_that_lead_outside_the_data_directory_are_refused(
    line: str, name: str, backup: Made, target: Place, identity: Path, restored: Restored, tmp_path: Path, capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The settings of a hostile backup could otherwise make files anywhere."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    outside = target.data.parent / "outside"
    with_line = f"{line.format(outside=outside, inside=target.data)}\n"
    file = written(tmp_path, changed(backup, contents.ENV, lambda env: env + with_line))
    monkeypatch.setattr(restoring, "_use", lambda *_given: pytest.fail("the settings must not be used"))
    assert restore(target, file, identity) == 1
    assert f"The backup's {name} leads outside the data directory" in refused(capsys)
    assert not outside.exists()
    assert (target.is_empty, target.files, restored) == (True, set(), [])


@pytest.mark.sqlite
def test_secrets_in_files_that_are_not_here_are_stored_in_the_data_directory(
    source: Place, backup: Made, target: Place, identity: Path, restored: Restored, capsys: Any
) -> None:
    before = environment_file.read(source.data / ".env")
    secrets = Path(before["METRICS_TOKEN_FILE"]).parent
    key = (secrets / "sp.pem").read_bytes()
    away = secrets.rename(secrets.with_name("away"))
    try:
        assert restore(target, backup.path, identity) == 0
    finally:
        away.rename(secrets)
    here = environment_file.read(target.data / ".env")
    assert here["METRICS_TOKEN"] == "metrics-token-of-the-source"  # noqa: S105 - of this test
    assert "METRICS_TOKEN_FILE" not in here
    assert here["SSO_SAML_KEYS"] == str(target.data / "saml_key_1.pem")
    assert (target.data / "saml_key_1.pem").read_bytes() == key
    assert {(target.data / name).stat().st_mode & 0o777 for name in ("saml_key_1.pem", ".env")} == {0o600}
    printed = capsys.readouterr().out
    assert f"METRICS_TOKEN was in the file {secrets}/metrics_token, which is not here." in printed
    assert "metrics-token-of-the-source" not in printed


@pytest.mark.sqlite
def test_the_settings_of_this_machine_come_first(
    source: Place, backup: Made, target: Place, identity: Path, restored: Restored, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As in a container: secrets are mounted, the log's key is in the volume, and the environment has the settings."""
    for name in ("secret_key", "metrics_token"):
        (tmp_path / name).write_text(f"{name}\n")
        monkeypatch.setenv(f"{name.upper()}_FILE", str(tmp_path / name))
    (tmp_path / "secret_key").write_text("of-the-source-of-the-source-of-the-source\n")
    monkeypatch.setenv("PROVIDER_NAME", "Of this machine")
    shutil.copy(source.data / "log_key", target.data / "log_key")
    assert restore(target, backup.path, identity) == 0
    here = environment_file.read(target.data / ".env")
    assert not {"SECRET_KEY", "METRICS_TOKEN", "METRICS_TOKEN_FILE", "PROVIDER_NAME"} & here.keys()
    assert target.sizes() == source.sizes()


@pytest.mark.sqlite
def test_a_place_that_the_environment_names_is_in_the_restored_settings(
    backup: Made, target: Place, identity: Path, restored: Restored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The units read the file of settings, and don't have the environment of this command."""
    key = tmp_path / "elsewhere" / "log_key"
    key.parent.mkdir()
    monkeypatch.setenv("LOG_KEY_FILE", str(key))
    with target.used():
        monkeypatch.setattr(settings, "LOG_KEY_FILE", key)
        words = [str(backup.path), "--identity", str(identity)]
        assert restoring.run(words, data=target.data, program="lockbox") == 0
    assert key.exists()
    assert environment_file.read(target.data / ".env")["LOG_KEY_FILE"] == str(key)
