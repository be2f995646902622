"""Downloads of proofs, checkpoints and receipts, and the page that explains how to check them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.urls import reverse

from audit_app import checkpoints, closing_shards, keys, recorder
from audit_app.models import AuditEntry, Checkpoint, Cosignature, LogAlarm
from requests_app import operations
from requests_app.domain import clock
from requests_app.doors.web import log_proofs as pages
from requests_app.queries import log_proofs as queries
from tests.audit import care
from tests.audit.bundles import run_verifier
from tests.audit.test_checkpoints import meddle
from tests.cast import Cast
from tests.web.pages import nothing_happens, page_of, signed_in
from tests.web.test_log import filled, sentences, text, url
from verify.lockbox_verify import growth_of, is_consistent

pytestmark = pytest.mark.django_db

VERIFIER = settings.BASE_DIR / "verify" / "lockbox_verify.py"
READERS = ["ada", "alan", "otto", "ines", "stella"]


def sign(cast: Cast) -> None:
    assert checkpoints.sign(cast.contoso.pk, at=clock.now()) is not None


def vkey(cast: Cast) -> str:
    return str(keys.log_key(checkpoints.origin_of(cast.contoso.pk, 0), keys.load().publics[0]))


def verify(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    with contextlib.chdir(tmp_path):
        status, out, errors = run_verifier("verify", *arguments)
    return status, out + errors


def proof(cast: Cast, seq: int, *, by: str = "otto") -> Any:
    return signed_in(cast, by).get(url(cast.contoso, "log_proof", str(seq)))


def receipt(cast: Cast, row: Any, seq: int, *, by: str) -> Any:
    return signed_in(cast, by).get(page_of(row, "access_request_receipt", str(seq)))


def seq_of(row: Any, event: str) -> int:
    return AuditEntry.objects.get(correlation_id=row.pk, event=event).seq


# --- The proof of an entry -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READERS)
def test_a_reader_of_the_log_downloads_a_valid_proof(cast: Cast, name: str, tmp_path: Path) -> None:
    row = cast.opened().access_request
    sign(cast)
    with nothing_happens():
        response = proof(cast, 4, by=name)
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="contoso-4.tlog-proof"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    (tmp_path / "r.tlog-proof").write_bytes(response.content)
    status, output = verify(tmp_path, "r.tlog-proof", "--key", vkey(cast))
    assert (status, "access_request.approved_by_customer by Ada Test" in output) == (0, True)
    extra = base64.b64decode(response.content.split(b"\n")[1].removeprefix(b"extra "))
    assert json.loads(extra)["access_request"] == str(row.pk)


def test_a_members_or_a_strangers_proof_is_refused(cast: Cast) -> None:
    cast.opened()
    sign(cast)
    with nothing_happens():
        assert proof(cast, 3, by="mia").status_code == 403
        for name in ("frida", "priya", "pat", "nadia"):
            assert proof(cast, 3, by=name).status_code == 404


def test_a_missing_entry_has_no_proof(cast: Cast) -> None:
    cast.opened()
    sign(cast)
    for seq in (5, 2**63, 10**30):
        assert proof(cast, seq).status_code == 404


def test_an_unsigned_entry_says_so_and_leads_back(cast: Cast) -> None:
    cast.opened()
    response = proof(cast, 2)
    assert response.status_code == 409
    assert "The proof is not ready yet" in text(response)
    assert "Its checkpoint will be signed within a minute" in text(response)
    assert f'href="{url(cast.contoso)}?entry=2#entry-2"' in response.content.decode()
    sign(cast)
    assert proof(cast, 2).status_code == 200


def test_during_an_alarm_no_page_says_to_wait_a_minute(cast: Cast) -> None:
    cast.opened()
    LogAlarm.objects.create(tenant_id=cast.contoso.pk, since=clock.now(), last_at=clock.now(), code="altered")
    response = proof(cast, 2)
    assert response.status_code == 409
    assert "The log is not being signed at the moment" in text(response)
    assert "minute" not in text(response)


def test_a_damaged_log_gives_no_proof_and_tells_the_operators(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    output: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(queries.logger, "error", lambda event, **more: output.append((event, more)))
    cast.opened()
    sign(cast)
    meddle("UPDATE audit_app_tile SET hashes = %s", bytes(32 * 4))
    response = proof(cast, 2)
    assert response.status_code == 409
    assert "There is no proof of this entry, because the stored log does not match the signed log." in text(response)
    assert "ask the provider and your own security people to investigate." in text(response)
    assert output == [("log_proof_damaged", {"tenant": str(cast.contoso.pk), "seq": 2, "what": "damaged"})]


def test_an_entry_of_a_closed_part_that_was_never_signed_says_so(cast: Cast) -> None:
    filled(cast, 3)
    sign(cast)
    filled(cast, 1)
    care.tombstone(cast.contoso.pk, at=clock.now())
    sign(cast)
    assert proof(cast, 2).status_code == 200
    assert proof(cast, 4).status_code == 200
    assert "Its part of the log was damaged, and was closed before the entry could be signed." in text(proof(cast, 3))
    page = text(signed_in(cast, "otto").get(url(cast.contoso)))
    assert "never: this part of the log was closed as damaged before this entry was signed" in page
    assert f"index 0 of {settings.LOG_ORIGIN}/log/{cast.contoso.pk}/1" in page


def test_each_signed_entry_shows_its_place_in_the_tree_and_leads_to_its_proof(cast: Cast) -> None:
    filled(cast, 3)
    sign(cast)
    filled(cast, 1)
    response = signed_in(cast, "otto").get(url(cast.contoso))
    links = re.findall(r'href="[^"]*/proof/(\d+)/"', response.content.decode())
    assert links == ["2", "1", "0"]
    page = text(response)
    assert f"index 2 of {settings.LOG_ORIGIN}/log/{cast.contoso.pk}" in page
    assert page.count("by the checkpoint that covers 3 entries") == 3
    assert page.count("not yet: the next checkpoint comes within a minute") == 1


# --- Receipts ------------------------------------------------------------------------------------------------


def closed(cast: Cast) -> Any:
    row = cast.opened().access_request
    operations.release(row.pk, actor=cast.as_("priya"))
    sign(cast)
    return row


@pytest.mark.parametrize("name", ["ada", "otto", "mia", "priya", "pat", "stella"])
def test_everybody_who_sees_an_access_request_takes_its_receipts(cast: Cast, name: str, tmp_path: Path) -> None:
    row = closed(cast)
    for event in ("access_request.approved_by_provider", "access_request.approved_by_customer", "grant.released"):
        response = receipt(cast, row, seq_of(row, event), by=name)
        assert response.status_code == 200
        (tmp_path / "r.tlog-proof").write_bytes(response.content)
        status, output = verify(tmp_path, "r.tlog-proof", "--key", vkey(cast))
        assert (status, event in output) == (0, True)


@pytest.mark.parametrize("name", ["frida", "nadia"])
def test_strangers_download_no_proofs(cast: Cast, name: str) -> None:
    row = closed(cast)
    assert receipt(cast, row, seq_of(row, "grant.released"), by=name).status_code == 404


def test_a_receipt_is_given_for_no_other_entry(cast: Cast) -> None:
    """If receipts of all entries were given, an engineer could read the tenant's log one entry at a time."""
    row = closed(cast)
    other = closed(cast)
    size = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).count()
    given = [seq for seq in range(size + 1) if receipt(cast, row, seq, by="priya").status_code == 200]
    assert given == [
        seq_of(row, event)
        for event in ("access_request.approved_by_provider", "access_request.approved_by_customer", "grant.released")
    ]
    assert receipt(cast, row, seq_of(other, "grant.released"), by="priya").status_code == 404
    assert receipt(cast, row, 10**30, by="priya").status_code == 404


def test_columns_that_were_changed_open_no_other_entry(cast: Cast) -> None:
    row = closed(cast)
    hexed = row.pk.hex if "sqlite" in settings.DATABASES["default"]["ENGINE"] else row.pk
    meddle("UPDATE audit_app_auditentry SET correlation_id = %s, event = 'grant.released' WHERE seq = 0", hexed)
    assert receipt(cast, row, 0, by="priya").status_code == 404


def test_the_pages_lead_to_the_receipts(cast: Cast) -> None:
    row = closed(cast)
    page = signed_in(cast, "ada").get(page_of(row)).content.decode()
    assert re.findall(rf'href="{page_of(row)}receipts/(\d+)/"', page) == [
        str(seq_of(row, event))
        for event in ("access_request.approved_by_provider", "access_request.approved_by_customer", "grant.released")
    ]
    decided = signed_in(cast, "ada").get(page_of(row, "receipt")).content.decode()
    assert page_of(row, "access_request_receipt", str(seq_of(row, "access_request.approved_by_customer"))) in decided


def test_a_receipt_that_is_not_there_yet_leads_back_to_its_access_request(cast: Cast) -> None:
    row = cast.opened().access_request
    response = receipt(cast, row, seq_of(row, "access_request.approved_by_customer"), by="ada")
    assert response.status_code == 409
    assert f'href="{page_of(row)}"' in response.content.decode()
    assert f"Back to {row.reference}" in text(response)


# --- Checkpoints ---------------------------------------------------------------------------------------------


def test_the_checkpoint_is_a_file_to_keep_with_its_cosignatures(cast: Cast) -> None:
    filled(cast, 3)
    sign(cast)
    row = checkpoints.newest(cast.contoso.pk, 0)
    assert row is not None
    line = "— witness.example AAAAAAAAAAA=\n"
    Cosignature.objects.create(tenant_id=cast.contoso.pk, checkpoint=row, vkey="w", line=line, at=clock.now())
    response = signed_in(cast, "otto").get(url(cast.contoso, "log_checkpoint"))
    assert response.content.decode() == row.note + line
    assert response["Content-Disposition"] == 'attachment; filename="contoso-3.checkpoint"'
    assert response["Content-Type"] == "text/plain; charset=utf-8"


def test_without_a_checkpoint_there_is_none_to_save(cast: Cast) -> None:
    filled(cast, 3)
    client = signed_in(cast, "otto")
    assert client.get(url(cast.contoso, "log_checkpoint")).status_code == 404
    for shard in (0, 1, 10**30):
        assert client.get(url(cast.contoso, "log_checkpoint_of", str(shard))).status_code == 404


def test_a_closed_part_keeps_the_longest_checkpoint_that_was_ever_signed(cast: Cast) -> None:
    """The database has lost the longest checkpoint. The tombstone got it from the signer's file of heads."""
    filled(cast, 3)
    sign(cast)
    filled(cast, 2)
    sign(cast)
    longest = checkpoints.newest(cast.contoso.pk, 0)
    assert longest is not None
    meddle("DELETE FROM audit_app_checkpoint WHERE size = 5")
    with transaction.atomic():
        recorder.lock(cast.contoso.pk)
        closing_shards.close_shard(cast.contoso.pk, at=clock.now())
    response = signed_in(cast, "otto").get(url(cast.contoso, "log_checkpoint_of", "0"))
    assert response.content.decode() == longest.note
    assert response["Content-Disposition"] == 'attachment; filename="contoso-5.checkpoint"'


def test_a_malformed_checkpoint_is_not_served(cast: Cast) -> None:
    filled(cast, 3)
    sign(cast)
    meddle("UPDATE audit_app_checkpoint SET note = 'no checkpoint'")
    response = signed_in(cast, "otto").get(url(cast.contoso, "log_checkpoint"))
    assert response.status_code == 409
    assert signed_in(cast, "otto").get(url(cast.contoso)).status_code == 200


# --- From one checkpoint to a later one ----------------------------------------------------------------------


def consistency(cast: Cast, *which: object, by: str = "otto") -> Any:
    name = "log_consistency_of" if len(which) == 3 else "log_consistency"
    return signed_in(cast, by).get(reverse(f"web:{name}", args=[cast.contoso.pk, *which]))


@pytest.mark.parametrize("name", READERS)
def test_a_reader_of_the_log_downloads_the_proof_from_any_size(cast: Cast, name: str) -> None:
    for _ in range(3):
        filled(cast, 3)
        sign(cast)
    heads = {size: Checkpoint.objects.get(tenant_id=cast.contoso.pk, size=size) for size in (3, 6, 9)}
    with nothing_happens():
        found = {(old, new): consistency(cast, old, new, by=name) for new in heads for old in range(new + 1)}
    for (old, new), response in found.items():
        assert response.status_code == 200
        assert "no-store" in response["Cache-Control"]
        proof = growth_of(response.content)
        assert (proof.old, proof.checkpoint.size, proof.checkpoint.root) == (old, new, bytes(heads[new].root))
        if old in heads:
            assert is_consistent(old, new, bytes(heads[old].root), proof.checkpoint.root, proof.path)
    assert found[3, 9]["Content-Disposition"] == 'attachment; filename="contoso-3-9.consistency"'
    assert consistency(cast, 3, 9, 0).content == found[3, 9].content


def test_a_proof_and_a_saved_checkpoint_satisfy_the_verifier(cast: Cast, tmp_path: Path) -> None:
    filled(cast, 3)
    sign(cast)
    (tmp_path / "kept").write_bytes(signed_in(cast, "otto").get(url(cast.contoso, "log_checkpoint")).content)
    filled(cast, 4)
    sign(cast)
    (tmp_path / "r.tlog-proof").write_bytes(proof(cast, 5).content)
    command = ["r.tlog-proof", "--key", vkey(cast), "--previous", "kept"]
    status, output = verify(tmp_path, *command)
    assert (status, "no consistency proof for this size" in output) == (2, True)
    (tmp_path / "proof").write_bytes(consistency(cast, 3, 7).content)
    status, output = verify(tmp_path, *command, "--consistency", "proof")
    assert (status, "3 entries: the log continues this checkpoint" in output) == (0, True)


def test_there_is_no_proof_of_what_was_not_signed(cast: Cast) -> None:
    filled(cast, 3)
    sign(cast)
    filled(cast, 1)
    for which in ((0, 2), (0, 4), (4, 3), (10**30, 3), (0, 10**30), (0, 3, 1), (0, 3, 10**30)):
        assert consistency(cast, *which).status_code == 404, which


def test_a_members_or_a_strangers_consistency_proof_is_refused(cast: Cast) -> None:
    filled(cast, 3)
    sign(cast)
    with nothing_happens():
        assert consistency(cast, 1, 3, by="mia").status_code == 403
        for name in ("frida", "priya", "pat", "nadia"):
            assert consistency(cast, 1, 3, by=name).status_code == 404


def test_a_damaged_tree_gives_no_consistency_proof_and_tells_the_operators(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    output: list[str] = []
    monkeypatch.setattr(queries.logger, "error", lambda event, **more: output.append(event))
    filled(cast, 3)
    sign(cast)
    meddle("DELETE FROM audit_app_tile")
    response = consistency(cast, 1, 3)
    assert response.status_code == 409
    assert "There is no such proof" in text(response)
    assert output == ["log_consistency_damaged"]


# --- How to verify -------------------------------------------------------------------------------------------


def commands(response: Any) -> list[str]:
    found = re.findall(r'<code class="digest-value mono">(.*?)</code>', response.content.decode(), re.DOTALL)
    return [html.unescape(each) for each in found]


def guide(cast: Cast, name: str = "otto") -> Any:
    return signed_in(cast, name).get(url(cast.contoso, "how_to_verify"))


def test_the_commands_of_the_guide_work_to_the_letter(cast: Cast, tmp_path: Path) -> None:
    """The test runs the commands one after the other, as an auditor does who copies them.

    Commands that need the internet, or that never end, are left out.
    """
    filled(cast, 3)
    sign(cast)
    (tmp_path / "lockbox_verify.py").write_bytes(VERIFIER.read_bytes())
    (tmp_path / "contoso-0.tlog-proof").write_bytes(proof(cast, 0).content)
    found = commands(guide(cast))
    save, install, digest, evidence, check, previous, witness_key, witness, named, last = found
    assert install == "python3 -m pip install cryptography"
    ran = {command: _run(command, tmp_path) for command in (save, digest, check, witness_key)}
    assert [done.returncode for done in ran.values()] == [0, 0, 0, 0]
    assert (tmp_path / "contoso.vkey").read_text() == f"{vkey(cast)}\n"
    assert ran[digest].stdout.split()[0] == hashlib.sha256(VERIFIER.read_bytes()).hexdigest()
    assert "GOOD" in ran[check].stdout
    assert ran[witness_key].stdout.startswith("witness.contoso.example+")
    # Commands that need a bundle or a running witness report what is missing.
    for command in (evidence, previous, named, last):
        assert _run(command, tmp_path).returncode in (1, 2)
    assert previous.endswith("--previous contoso-3.checkpoint")
    assert shlex.split(witness)[-2:] == ["--log", "contoso.vkey"]


def _run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    python = f"{shlex.quote(sys.executable)} "
    return subprocess.run(
        ["/bin/sh", "-c", re.sub(r"^python3 ", python, command)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


def test_the_guide_shows_the_fingerprint_and_the_verifiers_digest(cast: Cast) -> None:
    filled(cast, 1)
    sign(cast)
    page = guide(cast).content.decode()
    public = keys.load().publics[0]
    assert f'data-copy="{hashlib.sha256(public).hexdigest()}"' in page
    assert f'data-copy="{hashlib.sha256(VERIFIER.read_bytes()).hexdigest()}"' in page


def test_the_guide_explains_all_that_the_verifier_says(cast: Cast) -> None:
    source = VERIFIER.read_text()
    page = text(guide(cast))
    for word, status, meaning in pages.RESULTS:
        assert f'"{word}' in source
        assert f"{word}{f' (exit status {status})' if status is not None else ''} {meaning}" in page


def test_the_guide_promises_no_more_than_the_verifier_looks_at(cast: Cast) -> None:
    page = text(guide(cast))
    assert "In evidence of one access request, entries could be missing" in page
    assert "add --max-age 2" in page


def test_an_installation_without_the_verifier_shows_no_digest(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pages, "VERIFIER", tmp_path / "none.py")
    pages._verifier_digest.cache_clear()
    filled(cast, 1)
    assert "SHA-256 of the verifier" not in text(guide(cast))
    pages._verifier_digest.cache_clear()


def test_before_anything_is_signed_the_guide_says_that_the_key_will_come(cast: Cast) -> None:
    response = guide(cast)
    assert response.status_code == 200
    assert "No entry of this log has been signed yet." in text(response)
    assert not [command for command in commands(response) if command.startswith("echo")]


def test_only_a_key_that_signs_now_is_saved(cast: Cast, settings: Any, tmp_path: Path) -> None:
    filled(cast, 1)
    sign(cast)
    # A separate file, because other tests use the existing one.
    settings.LOG_KEY_FILE = shutil.copy(settings.LOG_KEY_FILE, tmp_path / "log.key")
    keys.rotate()
    keys.retire()
    sign(cast)
    found = [command for command in commands(guide(cast)) if command.startswith("echo")]
    assert found == [f"echo '{vkey(cast)}' >> contoso.vkey"]
    page = signed_in(cast, "otto").get(url(cast.contoso))
    assert "Verifier key for the current signing key" in text(page)
    assert "Verifier key for an earlier signing key" in text(page)
    assert "signed with a new key" in sentences(page)[0]
