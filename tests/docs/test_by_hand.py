"""Checks a signed approval by hand, with the lines of the document and without the product's code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from audit_app import checkpoints, evidence
from audit_app.bundle_selection import EvidenceScope
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock, manifest
from requests_app.models import AccessRequest
from requests_app.queries import signing
from tests.audit.bundles import verified
from tests.cast import Cast
from tests.docs.documents import blocks
from tests.passkeys import enrolled

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def block(language: str) -> str:
    [found] = [each.text for each in blocks(language) if each.document == "docs/evidence.md"]
    return found


def signed_yes(cast: Cast) -> AccessRequest:
    device, row = enrolled(cast, "ada")[1], cast.confirmed()
    row = AccessRequest.objects.get(pk=row.pk)
    text = signing.text_to_sign(row, actor=cast.as_("ada"), verdict="approve", at=clock.now())
    answer = device.sign(manifest.challenge_of(text), rp_id="localhost")
    signature = operations.Signed(manifest=text, assertion=answer)
    return operations.approve_as_customer(row.pk, actor=cast.as_("ada", fresh=False), signature=signature)


def run(place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block("shell")],  # noqa: S607 - the reader's own
        cwd=place,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=150,
    )


def test_a_signed_approval_is_checked_with_the_documents_lines(cast: Cast, tmp_path: Path) -> None:
    signed_yes(cast)
    rows = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq")
    (tmp_path / "entries-0.jsonl").write_bytes(b"".join(bytes(row.canonical) + b"\n" for row in rows))
    subprocess.run([sys.executable, "-I", "-c", block("python")], cwd=tmp_path, check=True, timeout=150)
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [
        "the challenge is that of the text",
        "the text names what was asked for",
        "the site is that of the passkey",
        "the device checked who held it",
        "Verified OK",
    ]
    assert done.stdout.splitlines() == lines
    # Change one letter of the signed text, and then one bit of the device's response.
    text, submitted_text = (tmp_path / "text.json").read_text(), (tmp_path / "asked.json").read_text()
    (tmp_path / "text.json").write_text(text.replace("Priya", "Prija", 1))
    assert run(tmp_path).stdout.splitlines() == lines[1:]
    (tmp_path / "text.json").write_text(text)
    (tmp_path / "asked.json").write_text(submitted_text.replace("invoices", "invoice", 1))
    assert run(tmp_path).stdout.splitlines() == [lines[0], *lines[2:]]
    (tmp_path / "asked.json").write_text(submitted_text)
    raw = (tmp_path / "authenticator.bin").read_bytes()
    (tmp_path / "authenticator.bin").write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert "Verified OK" not in run(tmp_path).stdout


@pytest.mark.parametrize("kind", ["log", "access_request"])
def test_the_verifier_names_the_passkey_in_a_bundle_of_the_products(cast: Cast, tmp_path: Path, kind: str) -> None:
    row = signed_yes(cast)
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    wanted = EvidenceScope(
        tenant_id=cast.contoso.pk,
        tenant_name="Contoso",
        access_request=row.pk if kind == "access_request" else None,
    )
    bundle = b"".join(evidence.prepare(wanted, at=clock.now()).stream())
    status, data = verified(bundle, tmp_path)
    assert (status, data["result"]) == (0, "good"), data
    [proven] = data["decisions"]["proven"]
    assert (proven["event"], proven["passkey"]) == ("access_request.approved_by_customer", "Phone")
    assert data["decisions"]["unproven"] == 1
