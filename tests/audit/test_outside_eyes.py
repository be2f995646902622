"""Another implementation accepts what this product signs and proves."""

from __future__ import annotations

import base64
import datetime as dt
import importlib
import sys
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import transaction

from audit_app import checkpoints, keys, log_name, proofs, recorder
from audit_app.models import Checkpoint
from tests.audit.test_log import an_entry

if sys.version_info < (3, 12):
    pytest.skip("aics_tlog needs Python 3.12", allow_module_level=True)
# On these Python versions the library is installed, so a missing library is a failure.
tlog: Any = importlib.import_module("aics_tlog")

pytestmark = pytest.mark.django_db

AT = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
TENANT = UUID("6a1c7c1e-0000-4000-8000-000000000002")


@pytest.mark.slow
def test_it_takes_every_checkpoint_every_receipt_and_every_consistency_proof() -> None:
    for count in (1, 2, 40, 250, 300):
        with transaction.atomic():
            recorder.record([an_entry(TENANT, subject_id=str(number)) for number in range(count)], at=AT)
        checkpoints.sign(TENANT, at=AT)
    public = keys.load().publics[0]
    origin = checkpoints.origin_of(TENANT, 0)
    log_key = tlog.parse_vkey(str(keys.log_key(origin, public)))
    clock = tlog.parse_vkey(str(log_name.clock_key(public)))
    stored = list(Checkpoint.objects.order_by("size"))
    for row in stored:
        note = tlog.parse_note(row.note)
        result = tlog.verify_checkpoint(note, log_key, [clock], quorum=1, expected_origin=origin)
        assert result.ok, result
        assert (result.size, result.root) == (row.size, bytes(row.root))
        for other in stored:
            if other.size <= row.size:
                path = proofs.consistency(other, row)
                assert tlog.verify_consistency(other.size, row.size, bytes(other.root), bytes(row.root), path)
    size, root = stored[-1].size, bytes(stored[-1].root)
    for seq in range(0, size, 7):
        proof = proofs.receipt(TENANT, seq)
        assert proof.extra is not None
        assert tlog.verify_leaf_inclusion(proof.extra, seq, size, list(proof.path), root)
        assert not tlog.verify_leaf_inclusion(proof.extra + b" ", seq, size, list(proof.path), root)
    assert clock.name == settings.LOG_ORIGIN


def test_it_takes_the_text_of_a_receipt() -> None:
    """Read the text line by line as c2sp.org/tlog-proof defines it, without code of the product."""
    with transaction.atomic():
        recorder.record([an_entry(TENANT, subject_id=str(number)) for number in range(300)], at=AT)
    checkpoints.sign(TENANT, at=AT)
    public = keys.load().publics[0]
    origin = checkpoints.origin_of(TENANT, 0)
    log_key = tlog.parse_vkey(str(keys.log_key(origin, public)))
    clock = tlog.parse_vkey(str(log_name.clock_key(public)))
    for seq in (0, 1, 255, 256, 299):
        head, checkpoint = str(proofs.receipt(TENANT, seq)).split("\n\n", 1)
        kind, extra, index, *hashes = head.split("\n")
        assert kind == "c2sp.org/tlog-proof@v1"
        assert index == f"index {seq}"
        assert extra.startswith("extra ")
        entry = base64.b64decode(extra.removeprefix("extra "), validate=True)
        path = [base64.b64decode(each, validate=True) for each in hashes]
        result = tlog.verify_checkpoint(tlog.parse_note(checkpoint), log_key, [clock], quorum=1, expected_origin=origin)
        assert result.ok, result
        assert result.size == 300
        assert tlog.verify_leaf_inclusion(entry, seq, result.size, path, result.root)
        assert not tlog.verify_leaf_inclusion(entry, seq ^ 1, result.size, path, result.root)
        assert not tlog.verify_leaf_inclusion(entry + b" ", seq, result.size, path, result.root)
