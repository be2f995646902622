"""`manage.py evidence` makes a bundle in a shell. Scripts can use its output and its exit statuses."""

from __future__ import annotations

import datetime as dt
import json
import stat
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from structlog.testing import capture_logs

from audit_app import checkpoint_history, checkpoints, evidence
from audit_app.models import AuditEntry, Tile
from requests_app.domain import clock
from requests_app.management.commands import evidence as command
from tests.audit.bundles import files_of, manifest_of, records, verified
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def written(path: Path, *arguments: str) -> tuple[bytes, str, str]:
    out, err = StringIO(), StringIO()
    call_command("evidence", *arguments, "-o", str(path), stdout=out, stderr=err)
    return path.read_bytes(), out.getvalue(), err.getvalue()


def refused(place: Path, *arguments: str) -> tuple[int, str]:
    """Run the command, which must be refused. Return its exit status and output.

    No file and no entry may be written.
    """
    before = AuditEntry.objects.count()
    with pytest.raises(CommandError) as stopped:
        call_command("evidence", *arguments, "-o", str(place / "evidence.zip"), stdout=StringIO(), stderr=StringIO())
    assert list(place.iterdir()) == []
    assert AuditEntry.objects.count() == before
    return stopped.value.returncode, str(stopped.value)


@pytest.fixture
def lose_key(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], None]:
    """Return a function that removes the log's key from this machine."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "log.key"
    return lambda: monkeypatch.setattr(settings, "LOG_KEY_FILE", elsewhere)


def test_the_log_is_signed_to_its_end_and_taken(cast: Cast, tmp_path: Path) -> None:
    cast.in_state("CLOSED")
    count = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).count()
    bundle, out, err = written(tmp_path / "evidence.zip", "contoso")
    assert (out, err) == (f"{tmp_path}/evidence.zip: {count} entries\n", "")
    files = files_of(bundle)
    assert manifest_of(files)["kind"] == "log"
    assert len(records(files["entries-0.jsonl"])) == count
    assert "timeline.pdf" in files
    assert verified(bundle, tmp_path)[0] == 0
    entry = json.loads(bytes(AuditEntry.objects.filter(tenant_id=cast.contoso.pk).last().canonical))
    assert (entry["event"], entry["door"], entry["actor"]["kind"]) == ("log.evidence_taken", "command", "system")
    assert entry["detail"] == {"kind": "log"}


def test_it_does_not_load_what_only_the_server_needs(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.Command, "check", lambda *_args, **_more: pytest.fail("all pages are loaded"))
    cast.in_state("CLOSED")
    # Other than in a shell, `call_command` makes no checks.
    found = command.Command(stdout=StringIO())
    words = ["contoso", "-o", str(tmp_path / "evidence.zip")]
    found.execute(**vars(found.create_parser("manage.py", "evidence").parse_args(words)))
    assert verified((tmp_path / "evidence.zip").read_bytes(), tmp_path)[0] == 0


def test_one_access_request_is_taken_by_its_reference(cast: Cast, tmp_path: Path) -> None:
    row = cast.in_state("CLOSED")
    bundle, _out, _err = written(
        tmp_path / "e.zip", str(cast.contoso.pk), "--access-request", row.reference.lower(), "--no-timeline"
    )
    manifest = manifest_of(files_of(bundle))
    assert (manifest["kind"], manifest["access_request"]) == ("access_request", str(row.pk))
    assert "timeline.html" not in manifest["files"]
    assert verified(bundle, tmp_path)[0] == 0


def test_a_period_is_taken_by_days_or_instants_in_utc(cast: Cast, tmp_path: Path, travel: Any) -> None:
    for day in (1, 2, 3):
        travel.to(dt.datetime(2026, 3, day, 12, tzinfo=dt.UTC))
        cast.ticket(title=f"day {day}")
    bundle, _out, _err = written(tmp_path / "e.zip", "contoso", "--since", "2026-03-02", "--until", "2026-03-03T12:00Z")
    files = files_of(bundle)
    assert [entry["detail"]["title"] for entry in records(files["entries-0.jsonl"])] == ["day 2"]
    assert verified(bundle, tmp_path)[0] == 0


def test_the_proof_from_a_stored_checkpoint_is_included(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_history, "MOST", 2)
    for _ in range(4):
        cast.ticket()
        checkpoints.sign(cast.contoso.pk, at=clock.now())
    for size in (1, 2):
        bundle, _out, _err = written(tmp_path / "e.zip", "contoso", "--kept", str(size))
        lines = records(files_of(bundle)["consistency-0.jsonl"])
        assert str(size) in [line["checkpoint"].split("\n")[1] for line in lines]


def test_the_file_is_its_owners_alone_and_takes_the_place_of_an_older_one(cast: Cast, tmp_path: Path) -> None:
    cast.ticket()
    path = tmp_path / "evidence.zip"
    path.write_bytes(b"old")
    bundle, _out, _err = written(path, "contoso")
    assert bundle.startswith(b"PK")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["evidence.zip"]


def test_an_interrupted_run_leaves_the_older_file(cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.ticket()
    path = tmp_path / "evidence.zip"
    path.write_bytes(b"old")

    def broken(*_args: Any, **_how: Any) -> Any:
        yield b"PK"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evidence.Evidence, "stream", broken)
    with pytest.raises(CommandError, match="No space left on device"):
        written(path, "contoso")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["evidence.zip"]


def test_without_the_key_the_signed_part_is_taken_and_the_rest_is_counted(
    cast: Cast, tmp_path: Path, lose_key: Callable[[], None]
) -> None:
    cast.ticket()
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    cast.ticket()
    lose_key()
    bundle, out, _err = written(tmp_path / "evidence.zip", "contoso")
    assert out == f"{tmp_path}/evidence.zip: 1 entry; 1 more entry waits for a signature\n"
    assert len(records(files_of(bundle)["entries-0.jsonl"])) == 1


def test_a_log_that_is_refused_is_taken_as_far_as_it_was_signed(cast: Cast, tmp_path: Path) -> None:
    cast.ticket()
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    cast.ticket()
    settings.LOG_HEADS_FILE.unlink()
    with capture_logs():
        _bundle, out, err = written(tmp_path / "evidence.zip", "contoso")
    assert "not signed any more (outside_behind)" in err
    assert "1 more entry waits" in out


def test_where_the_heads_are_away_the_evidence_has_what_was_signed(cast: Cast, tmp_path: Path) -> None:
    cast.ticket()
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    cast.ticket()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}/none")
        _bundle, out, err = written(tmp_path / "evidence.zip", "contoso")
    assert "can't be signed now" in err
    assert "there is no such directory" in err
    assert "1 more entry waits" in out


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_EVERY", 2)
    cast.in_state("CLOSED")
    _bundle, _out, err = written(tmp_path / "evidence.zip", "contoso")
    assert err.splitlines() == ["entries: 6 / 6", "timeline: 6 / 6"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nobody"], 2, "There is no tenant nobody."),
        (["provider."], 2, "evidence is only for tenants"),
        (["contoso", "--access-request", "AR-2222-2222"], 2, "contoso has no access request AR-2222-2222."),
        (["contoso", "--since", "2026-03-02", "--until", "2026-03-02"], 2, "--until must be after --since."),
        (["contoso", "--kept", "7"], 2, "The log of contoso has no checkpoint with 7 entries."),
        (["contoso"], 1, "The log has no entries of this access request or period."),
    ],
)
def test_evidence_that_cannot_be_made_is_explained_in_a_line(
    cast: Cast, tmp_path: Path, arguments: list[str], status: int, words: str
) -> None:
    found, output = refused(tmp_path, *arguments)
    assert found == status
    assert words in output


def test_an_access_request_of_another_tenant_is_not_known(cast: Cast, tmp_path: Path) -> None:
    row = cast.submitted("fabrikam")
    assert refused(tmp_path, "contoso", "--access-request", row.reference)[0] == 2


def test_an_access_request_has_no_period(cast: Cast, tmp_path: Path) -> None:
    row = cast.submitted()
    found, output = refused(tmp_path, "contoso", "--access-request", row.reference, "--since", "2026-03-01")
    assert (found, "with --since or --until" in output) == (2, True)


def test_without_a_key_and_a_signature_nothing_is_taken(
    cast: Cast, tmp_path: Path, lose_key: Callable[[], None]
) -> None:
    cast.ticket()
    lose_key()
    found, output = refused(tmp_path, "contoso")
    assert (found, "no log key" in output) == (1, True)


def test_a_damaged_tree_is_reported(cast: Cast, tmp_path: Path, lose_key: Callable[[], None]) -> None:
    cast.ticket()
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    Tile.objects.all().delete()
    lose_key()
    found, output = refused(tmp_path, "contoso")
    assert (found, "some of the signed data is missing" in output) == (1, True)
