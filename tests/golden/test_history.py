"""The log's bytes, checkpoints, proofs, evidence, signed texts, facts of mails and webhooks have not changed."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from audit_app import keys
from audit_app.checkpoints import origin_of
from audit_app.models import AuditEntry
from requests_app.domain.acts import EVENTS
from requests_app.messages.topics import Topic
from tests.caller import Caller
from tests.content import fill
from tests.golden import facts
from tests.golden.history import History
from tests.golden.recorded import DATA, differences, lines_of

VERIFIER = Path(__file__).parents[2] / "verify" / "lockbox_verify.py"


@pytest.fixture
def history(db: None, travel: Any, settings: Any, monkeypatch: Any, tmp_path: Path) -> History:
    settings.CONTENT_ROOT = tmp_path / "content"
    fill(settings.CONTENT_ROOT)
    made = History(travel, settings, monkeypatch)
    made.play()
    return made


@pytest.mark.slow
@pytest.mark.timeout(600)  # ten seconds on an idle machine, minutes on a busy one
def test_the_history_leaves_what_it_left_before(history: History, tmp_path: Path) -> None:
    """There is only one test, because the history takes seconds."""
    happened = set(AuditEntry.objects.values_list("event", flat=True)) | history.removed
    shown = {mail.extra_headers["X-Lockbox-Topic"] for _step, mail in history.mails}
    assert (EVENTS.keys() - happened, set(Topic) - shown) == (set(), set())
    history.step("somebody reads")
    reader = Caller(history.reader)
    found = {
        "log.txt": facts.log(),
        "checkpoints.txt": facts.signed(),
        "receipts.txt": facts.receipts(history, reader),
        "decisions.txt": facts.decisions(history),
        "mails.txt": facts.mails(history),
        "webhooks.txt": facts.posts(history),
        "refusals.txt": (f"{step}: {code}" for step, code in history.refusals),
    }
    report = differences(found)
    bundles = facts.bundles(history, reader)
    report += differences({"evidence.txt": facts.evidence(bundles)})
    report += _unread(bundles, history, tmp_path)
    assert not report, "\n".join(report)


# --- Earlier verifiers -----------------------------------------------------------------------------------------


def _unread(bundles: dict[str, bytes], history: History, place: Path) -> list[str]:
    """Check today's evidence with today's verifier and with all earlier verifiers. Return what they find wrong."""
    report = []
    origin = origin_of(history.world.tenant().pk, 0)
    named = [str(keys.log_key(origin, public)) for public in keys.load().publics]
    for name, source in [("today's", VERIFIER.read_bytes()), *_former()]:
        verifier = _imported(name, source, place)
        for kind, bundle in bundles.items():
            path = place / f"{kind}.zip"
            path.write_bytes(bundle)
            options = verifier.Options(keys=[verifier.key_of(each) for each in named], jobs=1)
            text = verifier.verify(path, options)
            if text["result"] != "good" or not text["logs"]:
                report.append(f"{name} verifier, {kind}: {text}")
    return report


def _former() -> list[tuple[str, bytes]]:
    """Return the verifiers that customers may still have. Each has the SHA-256 with which it was published."""
    found = []
    for line in lines_of("verifiers.txt"):
        digest, name = line.split()
        source = gzip.decompress((DATA / name).read_bytes())
        assert hashlib.sha256(source).hexdigest() == digest, name
        found.append((name, source))
    assert found
    return found


def _imported(name: str, source: bytes, place: Path) -> ModuleType:
    path = place / f"verifier_{hashlib.sha256(source).hexdigest()[:8]}.py"
    path.write_bytes(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None, name
    module = importlib.util.module_from_spec(spec)
    # The verifier's data classes look for their module.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
