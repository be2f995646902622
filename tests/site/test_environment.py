"""The product does not start with a setting that could be misunderstood."""

import multiprocessing
import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from lockbox_site import environment


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((word, True) for word in ("on", "TRUE", "yes", "1")),
        *((word, False) for word in ("off", "False", "no", "0")),
    ],
)
def test_a_switch_knows_its_words(monkeypatch: pytest.MonkeyPatch, written: str, meant: bool) -> None:
    monkeypatch.setenv("SOME_SWITCH", written)
    assert environment.switch("SOME_SWITCH", default=not meant) is meant


@pytest.mark.parametrize("written", ["ture", "enabled", "2", "", "None"])
def test_a_switch_refuses_every_other_word(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("SOME_SWITCH", written)
    with pytest.raises(ImproperlyConfigured, match="SOME_SWITCH must be on or off"):
        environment.switch("SOME_SWITCH", default=True)


def test_a_switch_that_is_not_written_has_its_default() -> None:
    assert environment.switch("SOME_SWITCH", default=True) is True
    assert environment.switch("SOME_SWITCH", default=False) is False


@pytest.mark.parametrize("written", ["twelve", "1.5", "NaN", "1e9", ""])
def test_a_number_must_be_whole(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("SOME_NUMBER", written)
    with pytest.raises(ImproperlyConfigured, match="SOME_NUMBER must be a whole number"):
        environment.whole_number("SOME_NUMBER", default=1)


@pytest.mark.parametrize("written", ["0", "65536", "-1"])
def test_a_number_keeps_its_bounds(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("SOME_PORT", written)
    with pytest.raises(ImproperlyConfigured, match="between 1 and 65535"):
        environment.whole_number("SOME_PORT", default=1, least=1, most=65535)


@pytest.mark.parametrize("written", ["3600,1800", "60,60", "0,60", "60,x"])
def test_a_list_of_lengths_rises(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("SOME_LENGTHS", written)
    with pytest.raises(ImproperlyConfigured, match="SOME_LENGTHS must be"):
        environment.seconds_list("SOME_LENGTHS", default=[60])


def test_a_list_of_lengths_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_LENGTHS", " 60, 120 ")
    assert environment.seconds_list("SOME_LENGTHS", default=[1]) == [60, 120]


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret_key"
    first = environment.secret_in_file(path)
    assert environment.secret_in_file(path) == first
    assert len(first) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_processes_that_start_together_share_one_secret(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(environment.secret_in_file, [tmp_path / "secret_key"] * 8, chunksize=1)
    assert len(set(found)) == 1
