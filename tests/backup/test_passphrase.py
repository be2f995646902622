"""A passphrase encrypts a stream in the format of age, so other programs open it."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import subprocess
import termios
from pathlib import Path

import pyrage
import pytest

from lockbox_site.backup import passphrase

SIZES = (0, 1, 65535, 65536, 65537, 131072, 200_000)


@pytest.fixture(autouse=True)
def _database_is_open() -> None:
    """These tests use no database."""


def sealed(content: bytes, secret: str = "a long passphrase") -> bytes:
    return b"".join(passphrase.encrypted([content[:70], content[70:]], secret))


def opened(file: bytes, secret: str = "a long passphrase") -> bytes:
    return b"".join(passphrase.decrypted(io.BytesIO(file), secret))


@pytest.mark.parametrize("size", SIZES)
def test_each_implementation_opens_the_files_of_the_other(size: int) -> None:
    content = os.urandom(size)
    assert opened(sealed(content)) == content
    assert pyrage.passphrase.decrypt(sealed(content), "a long passphrase") == content


@pytest.mark.deep
def test_a_file_of_another_implementation_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase, "MOST_WORK", 22)
    assert opened(pyrage.passphrase.encrypt(b"x" * 70_000, "a long passphrase")) == b"x" * 70_000


def test_every_cut_and_every_flipped_bit_is_found() -> None:
    file = sealed(os.urandom(70_000))
    places = [*range(0, 190, 3), *range(200, len(file), 4999), len(file) - 1]
    for at in places:
        changed = file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]
        with pytest.raises((passphrase.Damaged, passphrase.WrongPassphrase)):
            opened(changed)
        with pytest.raises(passphrase.Damaged):
            opened(file[:at])
    with pytest.raises(passphrase.Damaged):
        opened(file + b"x")


def test_chunks_can_not_be_dropped_or_swapped() -> None:
    file = sealed(os.urandom(3 * 65536))
    start = len(file) - 3 * (65536 + 16)
    one, two, three = (file[start + at * 65552 : start + (at + 1) * 65552] for at in range(3))
    for others in (two + one + three, one + three, one + two, one + two + two):
        with pytest.raises(passphrase.Damaged):
            opened(file[:start] + others)


def test_another_passphrase_is_refused_as_wrong() -> None:
    with pytest.raises(passphrase.WrongPassphrase):
        opened(sealed(b"x"), "another passphrase")


def test_a_file_that_asks_for_too_much_memory_is_refused() -> None:
    file = sealed(b"x").replace(b" 10\n", b" 30\n", 1)
    with pytest.raises(passphrase.Damaged):
        opened(file)


def test_the_program_age_opens_a_file(tmp_path: Path) -> None:
    (tmp_path / "file.age").write_bytes(sealed(b"what was in it"))
    # `age` reads a passphrase only from a terminal.
    main, terminal = pty.openpty()
    with subprocess.Popen(
        ["age", "-d", "-o", str(tmp_path / "file"), str(tmp_path / "file.age")],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0),
    ) as process:  # fmt: skip
        os.write(main, b"a long passphrase\n")
        assert process.wait(20) == 0
    os.close(main)
    os.close(terminal)
    assert (tmp_path / "file").read_bytes() == b"what was in it"
