"""The product does not start with a setting that could be misunderstood."""

import multiprocessing
import os
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


# --- Secrets in files ------------------------------------------------------------------------------------


@pytest.fixture
def secret_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that SOME_SECRET_FILE names. It is not there yet."""
    path = tmp_path / "some-secret"
    monkeypatch.setenv("SOME_SECRET_FILE", str(path))
    return path


def test_a_secret_in_a_file_is_read_and_never_becomes_part_of_the_environment(secret_file: Path) -> None:
    secret_file.write_text("swordfish\n")
    assert environment.secret("SOME_SECRET", default="another") == "swordfish"
    assert "SOME_SECRET" in environment.SECRETS
    assert not [name for name, value in os.environ.items() if "swordfish" in value]


def test_a_secret_without_a_file_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.secret("SOME_SECRET", default="preset") == "preset"
    monkeypatch.setenv("SOME_SECRET", "swordfish")
    assert environment.secret("SOME_SECRET") == "swordfish"
    monkeypatch.setenv("SOME_SECRET_FILE", "")
    assert environment.secret("SOME_SECRET") == "swordfish", "an empty variable names no file"


def test_a_secret_that_is_given_twice_is_refused(secret_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_file.write_text("swordfish")
    monkeypatch.setenv("SOME_SECRET", "swordfish")
    with pytest.raises(ImproperlyConfigured) as refused:
        environment.secret("SOME_SECRET")
    assert str(refused.value) == "Both SOME_SECRET and SOME_SECRET_FILE are set. Remove one of them."


@pytest.mark.parametrize("content", [b"", b" \n", b"sword\0fish", b"\xffswordfish", b"swordfish" * 10_000])
def test_a_file_that_holds_no_secret_is_refused_in_one_line_that_does_not_quote_it(
    secret_file: Path, content: bytes
) -> None:
    secret_file.write_bytes(content)
    with pytest.raises(ImproperlyConfigured, match=r"SOME_SECRET_FILE: the file .* is ") as refused:
        environment.secret("SOME_SECRET")
    assert "swordfish" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(secret_file: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"can't be read \(No such file or directory\)"):
        environment.secret("SOME_SECRET")
    secret_file.mkdir()
    with pytest.raises(ImproperlyConfigured, match=r"can't be read \(Is a directory\)"):
        environment.secret("SOME_SECRET")


def test_several_secrets_in_one_file_have_commas_between_them(secret_file: Path) -> None:
    secret_file.write_text("first, second,\n")
    assert environment.secret_words("SOME_SECRET") == ["first", "second"]
