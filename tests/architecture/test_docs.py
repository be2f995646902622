"""Documents that are generated from the code are up to date."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command

from requests_app.domain.acts import ACTS
from requests_app.domain.lifecycle import TRANSITIONS
from requests_app.management.commands import lifecycle_docs


def test_the_life_cycle_in_the_docs_is_the_tables() -> None:
    """The document of the life cycle equals the table of transitions. Its table of acts equals the declarations."""
    call_command("lifecycle_docs", check=True)


def test_a_life_cycle_that_is_out_of_date_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {action: edge for action, edge in TRANSITIONS.items() if action != "release"}
    monkeypatch.setattr(lifecycle_docs, "TRANSITIONS", fewer)
    with pytest.raises(SystemExit) as end:
        call_command("lifecycle_docs", check=True, stderr=StringIO())
    assert end.value.code == 1


def test_a_matrix_of_acts_that_is_out_of_date_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {name: act for name, act in ACTS.items() if name != "release"}
    monkeypatch.setattr(lifecycle_docs, "ACTS", fewer)
    with pytest.raises(SystemExit) as end:
        call_command("lifecycle_docs", check=True, stderr=StringIO())
    assert end.value.code == 1
