"""What the sentences of a log cost. A timeline has one for each entry."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import translation
from django.utils.translation import trans_real

from audit_app import recorder
from audit_app.models import AuditEntry
from requests_app.domain.actors import Actor
from requests_app.doors.web import _log_words
from requests_app.doors.web._log_words import sentence_of
from requests_app.doors.web.timeline import story
from requests_app.queries.log import About
from tests.cast import Cast

pytestmark = pytest.mark.django_db


def test_the_words_of_an_event_are_translated_once_for_each_language(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = _opened(cast, 20)
    about = About(access_requests={}, tickets={})

    def sentence(row: AuditEntry) -> str:
        return sentence_of(row, tenant=cast.contoso, about=about, at=row.at)[0]

    first = {language: _in(language, lambda: sentence(rows[0])) for language in ("en", "de")}
    asked: list[str] = []
    real = trans_real.gettext

    def gettext(text: str) -> str:
        asked.append(text)
        return real(text)

    # All translations of Django end here, also those of lazy texts.
    monkeypatch.setattr(translation, "gettext", gettext)
    monkeypatch.setattr(translation._trans, "gettext", gettext)  # type: ignore[attr-defined]  # made when it is used
    for language, expected in first.items():
        assert {_in(language, lambda row=row: sentence(row)) for row in rows} == {expected}
    assert asked == []


def test_a_timeline_asks_for_the_language_once_for_many_entries(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, calls = _opened(cast, 20), 0
    prepared: Any = SimpleNamespace(at=cast.contoso.created_at, parts=[SimpleNamespace(shard=0, first_seq=rows[0].seq)])
    real = translation.get_language

    def get_language() -> str | None:
        nonlocal calls
        calls += 1
        return real()

    for module in (_log_words, story):
        monkeypatch.setattr(module, "get_language", get_language)
    lines = story.Story(prepared, story.Subject(cast.contoso), actor=Actor.system("test"))._lines_of(rows)
    assert [line.number for line in lines] == [*range(20)]
    assert calls == 1


def _opened(cast: Cast, count: int) -> list[AuditEntry]:
    actor = {"kind": "person", "id": str(UUID(int=7)), "name": "Priya", "side": "provider", "email": "p@x"}
    detail = {"item": "7.mail", "resource": "r", "reference": "AR-1", "title": "<b>"}
    entries = [
        recorder.Witnessed(
            tenant_id=cast.contoso.pk, event="content.opened", door="pages", actor=actor, subject_type="grant",
            subject_id=str(number), detail={**detail, "title": f"<b>{number}"},
        )
        for number in range(count)
    ]  # fmt: skip
    with transaction.atomic():
        return recorder.record(entries, at=cast.contoso.created_at)


def _in(language: str, make: Any) -> Any:
    with translation.override(language):
        return make()
