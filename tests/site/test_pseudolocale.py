"""The test language shows which text is not marked for translation."""

from collections.abc import Iterator

import pytest
from django.utils import translation
from django.utils.translation import gettext, ngettext, pgettext

from lockbox_site import pseudolocale
from tests.offenders import collected


@pytest.fixture
def _pseudo() -> Iterator[None]:
    pseudolocale.install()
    with translation.override(pseudolocale.LANGUAGE):
        yield


@pytest.mark.usefixtures("_pseudo")
def test_text_for_programs_is_not_disguised() -> None:
    cases = ["%(name)s", "%s", "%d", "%%", "{count}", "<strong>", "&nbsp;", "%(size).1f"]
    with collected() as case:
        for stored in cases:
            with case(stored):
                assert gettext(f"Open {stored} now") == f"⟦Öpéñ {stored} ñöw⟧"


@pytest.mark.usefixtures("_pseudo")
def test_every_kind_of_message_is_disguised() -> None:
    assert pgettext("state", "Open") == "⟦Öpéñ⟧"
    assert ngettext("%(n)d item", "%(n)d items", 1) % {"n": 1} == "⟦1 îtém⟧"
    assert ngettext("%(n)d item", "%(n)d items", 3) % {"n": 3} == "⟦3 îtémš⟧"


@pytest.mark.usefixtures("_pseudo")
def test_a_pattern_for_dates_stays() -> None:
    assert pgettext("instant of this year", "D j M, H:i") == "D j M, H:i"


def test_other_languages_are_left_alone() -> None:
    pseudolocale.install()
    with translation.override("en"):
        assert gettext("Open") == "Open"
