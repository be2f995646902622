"""Calls the witness as a log does, and reads its state from outside with SQLite."""

import base64
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.verify.writer import Log, Signer, b64
from verify import lockbox_verify as lv

NAME = "witness.example"
WITNESS = Signer.of("witness")
COSIGNER = lv.Cosigner(NAME, WITNESS.private)


class CosignedHead(NamedTuple):
    size: int
    root: bytes
    at: int
    note: str


def log_of(size: int, fork_at: int | None = None, **rest: Any) -> Log:
    """Return a log with this number of entries.

    Its entries from `fork_at` on differ from those of the log without a fork.
    """
    return Log([b"%d%s" % (i, b"" if fork_at is None or i < fork_at else b"'") for i in range(size)], **rest)


def add_checkpoint_body(
    old: int, log: Log, size: int | None = None, *, path: Sequence[bytes] | None = None, note: str = ""
) -> bytes:
    """Return the body of an add-checkpoint call. Without `path`, it has the log's correct proof."""
    proof = log.tree.consistency(old, size) if path is None else path
    lines = "".join(f"{b64(each)}\n" for each in proof)
    return f"old {old}\n{lines}\n{note or log.note(size)}".encode()


def answer(body: bytes, state: lv.State, *keys: lv.Key) -> tuple[int, str]:
    try:
        return 200, lv.add_checkpoint(body, state, keys, COSIGNER)[0]
    except lv.Refused as refusal:
        return refusal.status, refusal.text


def key_of(log: Log) -> lv.Key:
    return lv.key_of(log.vkey())


def dated(line: str, log: Log, size: int | None = None) -> int:
    """Return when the witness cosigned this checkpoint, as read from the cosignature `line`.

    Assert that the line is exactly what Ed25519, which is deterministic, gives for this time.
    """
    at = int.from_bytes(base64.b64decode(line.split(" ")[2])[4:12])
    assert line == WITNESS.cosign(NAME, text_of(log, size), at)
    return at


def text_of(log: Log, size: int | None = None) -> str:
    return log.note(size).partition("\n\n")[0] + "\n"


def cosigned_heads(path: Path) -> dict[str, CosignedHead]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return {row[0]: CosignedHead(*row[1:]) for row in db.execute("SELECT origin, size, root, at, note FROM head")}


def note_held(log: Log, line: str, size: int | None = None) -> str:
    """Return what the witness must store about a checkpoint: the log's signature, and the witness's answer `line`."""
    text = text_of(log, size)
    mine = "".join(each.sign(log.origin, text) for each in log.signers)
    return f"{text}\n{mine}{line}"
