"""What tests share, so that it is made only once: the rows of worlds, and keys that sign tokens."""

from __future__ import annotations

import pytest
from joserfc.jwk import RSAKey

from tests.cast import Cast
from tests.remembered import MEMORY, World, _named
from tests.token_keys import KEYS


@pytest.mark.django_db
def test_a_world_is_not_taken_for_one_with_other_arguments(cast: Cast) -> None:
    values = (None, True, 1, "1", cast.contoso, cast.contoso.pk, str(cast.contoso.pk), cast.fabrikam, cast.exchange)
    assert len({_named(value) for value in values}) == len(values)


def test_a_world_of_the_real_clock_gets_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("name", (), "", b"")
    assert world.is_fresh
    monkeypatch.setattr("tests.remembered.FRESH_FOR", 0)
    assert not world.is_fresh


def test_a_test_gets_no_key_twice_and_the_next_test_gets_the_same_ones() -> None:
    first, second = KEYS.generate_key(2048), KEYS.generate_key(2048)
    assert first.thumbprint() != second.thumbprint()
    KEYS.begin()
    assert KEYS.generate_key(2048) is first


def test_a_key_in_a_remembered_world_is_not_given_to_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MEMORY, "is_making", True)
    in_world = KEYS.generate_key(2048)
    monkeypatch.setattr(MEMORY, "is_making", False)
    KEYS.begin()
    assert in_world.thumbprint() not in {KEYS.generate_key(2048).thumbprint() for _ in range(3)}


def test_a_key_is_read_as_it_was_written() -> None:
    written = KEYS.generate_key(2048).as_dict(private=True)
    other = RSAKey.generate_key(2048).as_dict(private=True)
    assert KEYS.import_key({**written}).as_dict(private=True) == written
    assert KEYS.import_key({**other}).as_dict(private=True) == other
    for part in ("d", "p", "dq"):
        with pytest.raises(ValueError):  # noqa: PT011 - the library has several texts
            KEYS.import_key({**written, part: other[part]})
