"""The language, the time zone and the parts of addresses are those of one thread, and are read without a lock."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.utils import timezone, translation

from lockbox_site import active_values
from lockbox_site.active_values import ActiveValue


def test_django_uses_the_cheap_values() -> None:
    active_values.install()
    found = [getattr(module, name) for module, name in active_values._PLACES]
    assert all(isinstance(each, ActiveValue) for each in found)
    assert len(set(map(id, found))) == 4


def test_a_value_that_is_set_stays_set() -> None:
    with translation.override("de"), timezone.override("Europe/Berlin"):
        active_values.install()
        assert (translation.get_language(), timezone.get_current_timezone_name()) == ("de", "Europe/Berlin")


def test_each_thread_has_other_values() -> None:
    with ThreadPoolExecutor(1) as other, translation.override("de"):
        before = other.submit(translation.get_language).result()
        other.submit(translation.activate, "fr").result()
        assert (before, translation.get_language()) == ("en", "de")
        assert other.submit(translation.get_language).result() == "fr"


def test_each_task_of_an_event_loop_has_other_values() -> None:
    async def language_of(language: str) -> str | None:
        with translation.override(language):
            await asyncio.sleep(0)
            return translation.get_language()

    async def both() -> list[str | None]:
        return list(await asyncio.gather(language_of("de"), language_of("fr")))

    assert asyncio.run(both()) == ["de", "fr"]


def test_a_value_that_was_deleted_is_missing() -> None:
    stored = ActiveValue()
    assert not hasattr(stored, "value")
    stored.value = None
    assert stored.value is None
    del stored.value
    assert getattr(stored, "value", "default") == "default"
    with pytest.raises(AttributeError):
        del stored.value
