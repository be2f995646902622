"""The customer's witness: each response (https://c2sp.org/tlog-witness), and the witness's state after it."""

import contextlib
import datetime as dt
import http.client
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.verify.asking import (
    COSIGNER,
    NAME,
    WITNESS,
    add_checkpoint_body,
    answer,
    cosigned_heads,
    dated,
    key_of,
    log_of,
    note_held,
    text_of,
)
from tests.verify.writer import HOST, LOG_KEY, T0, Log, Signer, b64, body
from verify import lockbox_verify as lv

TEXT, SIZE = "text/plain; charset=utf-8", "text/x.tlog.size"
LOG = log_of(12)
FORK = log_of(12, fork_at=6)
NEW, UNKNOWN, OTHER = log_of(9, shard=1), log_of(9, shard=2), Signer.of("another")
PROOF = LOG.tree.consistency(7)
UNPROVEN = "the consistency proof is not valid\n"


class HttpAnswer(NamedTuple):
    status: int
    kind: str
    text: str


class Asker:
    """A connection to a witness on loopback, and the path of the witness's state."""

    def __init__(self, port: int, path: Path) -> None:
        self.path, self.port = path, port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def post(self, sent: bytes, page: str = "/add-checkpoint") -> HttpAnswer:
        return self.answer_to("POST", page, sent)

    def answer_to(self, method: str, page: str, sent: bytes | None = None) -> HttpAnswer:
        self.connection.request(method, page, sent)
        with self.connection.getresponse() as response:
            return HttpAnswer(response.status, response.headers["Content-Type"], response.read().decode())

    def raw(self, sent: bytes) -> bytes:
        """Send these bytes. Return everything that the witness sends until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            plain.sendall(sent)
            plain.shutdown(socket.SHUT_WR)
            with plain.makefile("rb") as stream:
                return stream.read()


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asker]:
    """Yield a witness that cosigns for LOG and NEW, and has seen neither of these logs."""
    # The witness may print a line after its response, when pytest no longer captures the output.
    monkeypatch.setattr(lv, "diary", lambda line: None)
    path = tmp_path / "state"
    server = lv.Server("127.0.0.1:0", lv.State(path, create=True), [key_of(LOG), key_of(NEW)], COSIGNER)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    asker = Asker(server.server_port, path)
    yield asker
    asker.connection.close()
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def at_seven(witness: Asker) -> Asker:
    assert witness.post(add_checkpoint_body(0, LOG, 7)).status == 200
    return witness


# --- Accepted ------------------------------------------------------------------------------------------


def test_a_checkpoint_that_continues_the_log_is_cosigned_and_stored(witness: Asker) -> None:
    for old, size in ((0, 1), (1, 7), (7, 8), (8, 12)):
        status, kind, line = witness.post(add_checkpoint_body(old, LOG, size))
        assert (status, kind) == (200, TEXT)
        at = dated(line, LOG, size)
        assert cosigned_heads(witness.path) == {
            LOG.origin: (size, LOG.tree.root(size), at, note_held(LOG, line, size)),
        }
        assert lv.signatures_by(lv.note_of(f"{text_of(LOG, size)}\n{line}".encode()), COSIGNER.key) == [at]


def test_each_log_is_held_by_itself_and_the_page_lists_them(at_seven: Asker) -> None:
    assert at_seven.post(add_checkpoint_body(0, NEW, 9)).status == 200
    assert [(origin, each.size) for origin, each in sorted(cosigned_heads(at_seven.path).items())] == [
        (LOG.origin, 7),
        (NEW.origin, 9),
    ]
    status, kind, text = at_seven.answer_to("GET", "/")
    assert (status, kind) == (200, TEXT)
    assert text.startswith(f"witness {WITNESS.vkey(NAME, 4)}\n{LOG.origin} 7 ")
    assert f"\n{NEW.origin} 9 " in text


def test_an_empty_tree_is_cosigned_and_grows(witness: Asker) -> None:
    assert [witness.post(add_checkpoint_body(0, LOG, size)).status for size in (0, 0, 3)] == [200, 200, 200]
    assert cosigned_heads(witness.path)[LOG.origin].size == 3


def test_the_same_again_is_cosigned_again_and_changes_but_the_time(at_seven: Asker) -> None:
    before = cosigned_heads(at_seven.path)[LOG.origin]
    for _ in range(3):
        status, _, line = at_seven.post(add_checkpoint_body(7, LOG, 7))
        at = dated(line, LOG, 7)
        assert status == 200
        assert at >= before.at
        assert cosigned_heads(at_seven.path)[LOG.origin] == (7, before.root, at, note_held(LOG, line, 7))
    # The same body again contains an old size that the witness no longer has.
    assert at_seven.post(add_checkpoint_body(0, LOG, 7)) == (409, SIZE, "7\n")


def test_any_key_of_the_log_is_enough_and_signatures_of_others_are_not_stored(tmp_path: Path) -> None:
    state = lv.State(tmp_path / "state", create=True)
    rotated = log_of(5, signers=(OTHER, LOG_KEY))
    keys = [key_of(log_of(5)), lv.key_of(OTHER.vkey(LOG.origin))]
    assert answer(add_checkpoint_body(0, rotated, 3), state, keys[0])[0] == 200
    assert cosigned_heads(state.path)[LOG.origin].note.count("— ") == 2
    status, line = answer(add_checkpoint_body(3, rotated, 5), state, *keys)
    assert status == 200
    assert cosigned_heads(state.path)[LOG.origin].note == note_held(rotated, line)


# --- Refused -------------------------------------------------------------------------------------------


def changed(raw: bytes, old: str, new: str) -> bytes:
    assert old.encode() in raw
    return raw.replace(old.encode(), new.encode(), 1)


def only_cosigned(log: Log, size: int) -> str:
    text = text_of(log, size)
    return f"{text}\n{LOG_KEY.cosign(HOST, text, T0)}{WITNESS.cosign(NAME, text, T0)}"


def signed(text: str) -> str:
    return f"{text}\n{LOG_KEY.sign(text.partition(chr(10))[0], text)}"


REFUSED: dict[str, tuple[bytes, int, str, str]] = {
    "an old size from before": (add_checkpoint_body(5, LOG), 409, SIZE, "7\n"),
    "an old size that is to come": (add_checkpoint_body(8, LOG), 409, SIZE, "7\n"),
    "no old size": (add_checkpoint_body(0, LOG), 409, SIZE, "7\n"),
    "back to an older size, as if that were held": (add_checkpoint_body(5, LOG, 5), 409, SIZE, "7\n"),
    "back to an older size, as if nothing were held": (add_checkpoint_body(0, LOG, 5), 409, SIZE, "7\n"),
    "back to an older size from the one that is held": (
        add_checkpoint_body(7, LOG, 5, path=[]), 400, TEXT, "the old size is larger than the new size\n"),
    "a fork of the same size": (add_checkpoint_body(7, FORK, 7), 409, SIZE, "7\n"),
    "a fork of the same size, with a proof": (add_checkpoint_body(7, FORK, 7, path=PROOF), 409, SIZE, "7\n"),
    "a fork that is longer, with its own proof": (add_checkpoint_body(7, FORK), 422, TEXT, UNPROVEN),
    "a fork that is longer, with the log's proof": (add_checkpoint_body(7, FORK, path=PROOF), 422, TEXT, UNPROVEN),
    "no proof": (add_checkpoint_body(7, LOG, path=[]), 422, TEXT, UNPROVEN),
    "half a proof": (add_checkpoint_body(7, LOG, path=PROOF[:-1]), 422, TEXT, UNPROVEN),
    "more than a proof": (add_checkpoint_body(7, LOG, path=[*PROOF, PROOF[0]]), 422, TEXT, UNPROVEN),
    "a proof in another order": (add_checkpoint_body(7, LOG, path=PROOF[::-1]), 422, TEXT, UNPROVEN),
    "a proof for another size": (add_checkpoint_body(7, LOG, path=LOG.tree.consistency(7, 11)), 422, TEXT, UNPROVEN),
    "as many proof lines as there may be": (add_checkpoint_body(7, LOG, path=[bytes(32)] * 63), 422, TEXT, UNPROVEN),
    "a proof where nothing is to be proven": (add_checkpoint_body(7, LOG, 7, path=PROOF), 422, TEXT, UNPROVEN),
    "a proof at the first meeting": (add_checkpoint_body(0, NEW, path=PROOF), 422, TEXT, UNPROVEN),
    "an old size at the first meeting": (add_checkpoint_body(3, NEW), 409, SIZE, "0\n"),
    "no entries and yet a root": (
        add_checkpoint_body(0, NEW, 0, note=signed(body(NEW.origin, 0, bytes(32)))), 409, SIZE, "0\n"),
    "an unknown log": (add_checkpoint_body(0, UNKNOWN), 404, TEXT, "unknown log\n"),
    "an unknown log, under a known key's line": (
        add_checkpoint_body(7, LOG, note=LOG.note().replace(LOG.origin, f"{LOG.origin}/x", 1)),
        404, TEXT, "unknown log\n"),
    "an unknown key": (
        add_checkpoint_body(7, log_of(12, signers=(OTHER,))), 403, TEXT, "no signature by a key of this log\n"),
    "an unknown key, and a wrong old size": (
        add_checkpoint_body(0, log_of(12, signers=(OTHER,))), 403, TEXT, "no signature by a key of this log\n"),
    "no signature but those of witnesses": (
        add_checkpoint_body(7, LOG, note=only_cosigned(LOG, 12)), 403, TEXT, "no signature by a key of this log\n"),
    "the same key under another log's name": (
        add_checkpoint_body(0, NEW, note=f"{text_of(NEW)}\n{LOG_KEY.sign(LOG.origin, text_of(NEW))}"), 403, TEXT,
        "no signature by a key of this log\n"),
    "a signature of another size": (
        add_checkpoint_body(7, LOG, note=f"{text_of(LOG)}\n{LOG_KEY.sign(LOG.origin, text_of(LOG, 11))}"), 403, TEXT,
        f"the signature of {LOG.origin} ({LOG_KEY.key_id(LOG.origin, 1).hex()}) under the checkpoint is false\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_says_why_and_changes_nothing(case: str, at_seven: Asker) -> None:
    sent, *expected = REFUSED[case]
    before = cosigned_heads(at_seven.path)
    assert list(at_seven.post(sent)) == expected
    assert cosigned_heads(at_seven.path) == before
    # The log can continue after this.
    assert at_seven.post(add_checkpoint_body(7, LOG)).status == 200


GOOD = add_checkpoint_body(7, LOG)
MALFORMED = {
    "nothing": b"",
    "an empty line": b"\n",
    "no checkpoint": b"old 7\n",
    "an empty checkpoint": b"old 7\n\n",
    "no old size": GOOD.partition(b"\n")[2],
    "an old size of another name": changed(GOOD, "old 7", "new 7"),
    "an old size without a space": changed(GOOD, "old 7", "old7"),
    "an old size after two spaces": changed(GOOD, "old 7", "old  7"),
    "an old size with a zero": changed(GOOD, "old 7", "old 07"),
    "an old size with a sign": changed(GOOD, "old 7", "old +7"),
    "an old size below zero": changed(GOOD, "old 7", "old -7"),
    "an old size in other digits": changed(GOOD, "old 7", "old \u0667"),
    "an old size without a number": changed(GOOD, "old 7", "old "),
    "an old size of 2^63": changed(GOOD, "old 7", f"old {1 << 63}"),
    "lines as on Windows": GOOD.replace(b"\n", b"\r\n"),
    "no empty line": changed(GOOD, "\n\n", "\n"),
    "an empty line too many": changed(GOOD, "old 7\n", "old 7\n\n"),
    "more proof lines than there may be": add_checkpoint_body(7, LOG, path=[bytes(32)] * 64),
    "a short hash": add_checkpoint_body(7, LOG, path=[bytes(31)]),
    "a hash with a space": changed(GOOD, b64(PROOF[0]), b64(PROOF[0]) + " "),
    "a hash spelled otherwise": changed(GOOD, b64(PROOF[0]), b64(PROOF[0]).rstrip("=")),
    "no signature": add_checkpoint_body(7, LOG, note=text_of(LOG)),
    "no signature after the empty line": add_checkpoint_body(7, LOG, note=text_of(LOG) + "\n"),
    "no line break at the end": GOOD[:-1],
    "a size with a zero": add_checkpoint_body(7, LOG, note=signed(f"{LOG.origin}\n012\n{b64(LOG.tree.root())}\n")),
    "a size of 2^63": add_checkpoint_body(7, LOG, note=signed(body(LOG.origin, 1 << 63, LOG.tree.root()))),
    "a short root": add_checkpoint_body(7, LOG, note=signed(body(LOG.origin, 12, bytes(31)))),
    "a control character": changed(GOOD, "— ", "\x00— "),
    "no UTF-8": GOOD.replace("—".encode(), b"\xff"),
    "a note that is too long": add_checkpoint_body(7, LOG, note=signed(f"{text_of(LOG)}{'x' * lv.MAX_NOTE}\n")),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_is_refused_and_changes_nothing(case: str, at_seven: Asker) -> None:
    before = cosigned_heads(at_seven.path)
    status, kind, text = at_seven.post(MALFORMED[case])
    assert (status, kind) == (400, TEXT)
    assert text.startswith("malformed: ")
    assert cosigned_heads(at_seven.path) == before
    assert at_seven.post(GOOD).status == 200


def test_a_first_checkpoint_of_2_to_the_63_is_no_checkpoint(witness: Asker) -> None:
    most = (1 << 63) - 1
    sent = add_checkpoint_body(0, LOG, 7, note=signed(body(LOG.origin, most + 1, LOG.tree.root())))
    assert witness.post(sent).status == 400
    assert (
        witness.post(add_checkpoint_body(0, LOG, 7, note=signed(body(LOG.origin, most, LOG.tree.root())))).status == 200
    )
    assert cosigned_heads(witness.path)[LOG.origin].size == most


@pytest.mark.parametrize(
    "head",
    [
        "",
        "Content-Length: x\r\n",
        "Content-Length: -1\r\n",
        f"Content-Length: {lv.MAX_BODY + 1}\r\n",
        f"Content-Length: {10**18}\r\n",
        f"Content-Length: {len(GOOD)}\r\nTransfer-Encoding: chunked\r\n",
        f"Content-Length: {len(GOOD) + 1}\r\n",
    ],
)
def test_a_body_without_its_length_or_too_long_or_cut_off_ends_the_connection(head: str, at_seven: Asker) -> None:
    before = cosigned_heads(at_seven.path)
    back = at_seven.raw(f"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n{head}\r\n".encode() + GOOD)
    assert back.startswith(b"HTTP/1.1 400 ")
    assert back.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in back
    assert cosigned_heads(at_seven.path) == before


def test_other_pages_are_not_there_and_a_prefix_is_nothing_to_it(at_seven: Asker) -> None:
    for page in ("/", "/add-checkpoint/", "/add-checkpoints", "/status"):
        assert at_seven.post(GOOD, page) == (404, TEXT, "no such page\n")
    assert at_seven.answer_to("GET", "/add-checkpoint").status == 404
    assert cosigned_heads(at_seven.path)[LOG.origin].size == 7
    assert at_seven.post(GOOD, "/some/prefix/add-checkpoint").status == 200


# --- The witness's state ---------------------------------------------------------------------------------


def test_a_checkpoint_that_can_t_be_stored_is_not_cosigned(at_seven: Asker) -> None:
    with contextlib.closing(sqlite3.connect(at_seven.path)) as db:
        db.execute("ALTER TABLE head RENAME TO gone")
    status, kind, text = at_seven.post(GOOD)
    assert (status, kind, text) == (503, TEXT, "the witness can't write its state\n")
    with contextlib.closing(sqlite3.connect(at_seven.path)) as db:
        db.execute("ALTER TABLE gone RENAME TO head")
    assert cosigned_heads(at_seven.path)[LOG.origin].size == 7
    assert at_seven.post(GOOD).status == 200


def test_a_change_waits_for_nobody_s_half_and_is_on_the_disk_when_it_ends(tmp_path: Path) -> None:
    state = lv.State(tmp_path / "state", create=True)
    with state.changing() as db:
        # With EXTRA (3), SQLite also syncs the removal of the journal. Otherwise a power failure could restore the old
        # state.
        assert db.execute("PRAGMA synchronous").fetchone() == (3,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        with contextlib.closing(sqlite3.connect(state.path, timeout=0, isolation_level=None)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            assert other.execute("SELECT count(*) FROM head").fetchone() == (0,)


def fail_in(state: lv.State) -> None:
    with state.changing() as db:
        db.execute("DELETE FROM head")
        raise RuntimeError("under way")


def test_a_change_that_fails_leaves_the_old_state(tmp_path: Path) -> None:
    state = lv.State(tmp_path / "state", create=True)
    assert answer(add_checkpoint_body(0, LOG, 7), state, key_of(LOG))[0] == 200
    before = cosigned_heads(state.path)
    with pytest.raises(RuntimeError, match="under way"):
        fail_in(state)
    assert cosigned_heads(state.path) == before


def test_no_later_cosignature_has_an_older_time(tmp_path: Path, travel: Any) -> None:
    noon = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
    state = lv.State(tmp_path / "state", create=True)
    times = []
    for old, size, moved in ((0, 3, 0), (3, 7, -3600), (7, 7, -10 * 365 * 86400), (7, 9, 0), (9, 12, 5)):
        travel.to(noon + dt.timedelta(seconds=moved))
        # Open the state again, as a restarted witness does.
        state = lv.State(state.path, create=False)
        status, line = answer(add_checkpoint_body(old, LOG, size), state, key_of(LOG))
        assert status == 200
        times.append(dated(line, LOG, size) - int(noon.timestamp()))
        assert cosigned_heads(state.path)[LOG.origin].at - int(noon.timestamp()) == times[-1]
    assert times == [0, 0, 0, 0, 5]
    # The times of one log do not affect another log.
    travel.to(noon - dt.timedelta(seconds=60))
    assert dated(answer(add_checkpoint_body(0, NEW), state, key_of(NEW))[1], NEW) == int(noon.timestamp()) - 60


@pytest.mark.parametrize("false_first", [True, False])
def test_a_false_signature_of_any_key_of_the_log_is_refused(false_first: bool, tmp_path: Path) -> None:
    """Anybody who forwards a checkpoint can add a signature line to it.

    If the witness stored a false line, the customer's check of this checkpoint would fail.
    """
    state = lv.State(tmp_path / "state", create=True)
    keys = [lv.key_of(each.vkey(LOG.origin)) for each in (OTHER, LOG_KEY)]
    false = OTHER.sign(LOG.origin, "something else\n")
    sent = add_checkpoint_body(0, LOG, note=f"{LOG.note()}{false}")
    status, text = answer(sent, state, *(keys if false_first else keys[::-1]))
    assert status == 403
    assert text.endswith("under the checkpoint is false\n")
    assert cosigned_heads(state.path) == {}


def test_a_repeated_line_is_stored_once_and_the_witness_starts_again(tmp_path: Path) -> None:
    """Anybody who has seen a checkpoint can send it with many copies of its signature. This needs no key."""
    state = lv.State(tmp_path / "state", create=True)
    line = LOG_KEY.sign(LOG.origin, text_of(LOG))
    often = f"{text_of(LOG)}\n{line * lv.MAX_SIGNATURES}"
    status, cosignature = answer(add_checkpoint_body(0, LOG, note=often), state, key_of(LOG))
    assert status == 200
    assert cosigned_heads(state.path)[LOG.origin].note == note_held(LOG, cosignature)
    assert lv.State(state.path, create=False).heads()[0][:2] == (LOG.origin, 12)


def test_a_checkpoint_that_would_be_too_long_to_be_read_again_is_refused(tmp_path: Path) -> None:
    state = lv.State(tmp_path / "state", create=True)
    room = lv.MAX_NOTE - len(signed(text_of(LOG) + "\n").encode())
    status, text = answer(add_checkpoint_body(0, LOG, note=signed(f"{text_of(LOG)}{'x' * room}\n")), state, key_of(LOG))
    assert (status, text) == (400, "the checkpoint is too long\n")
    assert cosigned_heads(state.path) == {}
    status, _ = answer(
        add_checkpoint_body(0, LOG, note=signed(f"{text_of(LOG)}{'x' * (room - 200)}\n")), state, key_of(LOG)
    )
    assert status == 200
    assert lv.State(state.path, create=False).heads()[0][:2] == (LOG.origin, 12)
