"""What tests share, so that it is made only once: the rows of worlds."""

from __future__ import annotations

import pytest

from tests.cast import Cast
from tests.remembered import World, _named


@pytest.mark.django_db
def test_a_world_is_not_taken_for_one_with_other_arguments(cast: Cast) -> None:
    values = (None, True, 1, "1", cast.contoso, cast.contoso.pk, str(cast.contoso.pk), cast.fabrikam, cast.exchange)
    assert len({_named(value) for value in values}) == len(values)


def test_a_world_of_the_real_clock_gets_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("name", (), "", b"")
    assert world.is_fresh
    monkeypatch.setattr("tests.remembered.FRESH_FOR", 0)
    assert not world.is_fresh
