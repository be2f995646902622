"""The customer's witness as a process. It can be killed at any point, and still never cosigns two histories."""

import http.client
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.verify.asking import COSIGNER, NAME, add_checkpoint_body, cosigned_heads, dated, log_of, note_held
from tests.verify.writer import Log, b64
from verify import lockbox_verify as lv

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-I", str(REPOSITORY / "verify" / "lockbox_verify.py"))
#: The same program. It starts in half the time, because Python has compiled the file before.
COMPILED = (sys.executable, "-c", "import sys; from verify import lockbox_verify as lv; sys.exit(lv.main())")
LOG = log_of(60)
FORK = log_of(60, fork_at=5)
UNPROVEN = (422, "the consistency proof is not valid\n")


def dies_in(place: str) -> tuple[str, ...]:
    """Return a command that runs the witness, and kills it (SIGKILL) when it calls the function named in `place`."""
    return (sys.executable, "-c", (
        "import os, signal, sys\n"
        "from verify import lockbox_verify as lv\n"
        f"lv.{place} = lambda *given: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.exit(lv.main())\n"
    ))  # fmt: skip


class Witness:
    """A running `lockbox_verify.py witness`, on a port of its own."""

    def __init__(self, folder: Path, program: tuple[str, ...]) -> None:
        self.state, key = folder / "state", folder / "key"
        if not key.exists():
            seed = COSIGNER.private.private_bytes_raw()
            key.write_text(f"PRIVATE+KEY+{NAME}+{COSIGNER.key.id.hex()}+{b64(bytes([lv.COSIGNATURE]) + seed)}\n")
            key.chmod(0o600)
        words = ["witness", "--name", NAME, "--key-file", str(key), "--state", str(self.state)]
        words += ["--log", LOG.vkey(), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen([*program, *words], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        self.output: list[str] = []
        for line in self.process.stderr:
            self.output.append(line)
            if found := re.search(r"listens on 127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise AssertionError(self.output)
        # Read the output all the time. Otherwise a full pipe would block the process.
        self.reader = threading.Thread(target=self.output.extend, args=(self.process.stderr,))
        self.reader.start()

    def post(self, body: bytes) -> tuple[int, str]:
        """Send a request, and return the response. Raise OSError or HTTPException if none comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/add-checkpoint", body)
            with connection.getresponse() as response:
                return response.status, response.read().decode()
        finally:
            connection.close()

    def end(self) -> int:
        self.process.kill()
        status = self.process.wait(10)
        self.reader.join(10)
        assert self.process.stderr
        self.process.stderr.close()
        return status


Start = Callable[..., Witness]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Witness] = []

    def run(program: tuple[str, ...] = COMPILED) -> Witness:
        started.append(Witness(tmp_path, program))
        return started[-1]

    yield run
    for each in started:
        each.end()


def assert_holds(witness: Witness, log: Log, size: int) -> None:
    assert cosigned_heads(witness.state)[log.origin][:2] == (size, log.tree.root(size))


def test_a_stored_checkpoint_without_an_answer_binds_the_next_process(start: Start) -> None:
    first = start()
    assert first.post(add_checkpoint_body(0, LOG, 5))[0] == 200
    first.end()
    dying = start(dies_in("Handler._answer"))
    with pytest.raises((OSError, http.client.HTTPException)):
        dying.post(add_checkpoint_body(5, LOG, 9))
    assert dying.process.wait(10) == -9
    assert_holds(dying, LOG, 9)

    again = start()
    # A fork of the same size, a longer fork, and a fork from the size before the crash.
    assert again.post(add_checkpoint_body(9, FORK, 9)) == (409, "9\n")
    assert again.post(add_checkpoint_body(9, FORK, 12)) == UNPROVEN
    assert again.post(add_checkpoint_body(5, FORK, 12)) == (409, "9\n")
    assert_holds(again, LOG, 9)
    # The log got no response. It asks again, gets the size, and continues.
    assert again.post(add_checkpoint_body(5, LOG, 9)) == (409, "9\n")
    status, line = again.post(add_checkpoint_body(9, LOG, 9))
    assert status == 200
    dated(line, LOG, 9)
    assert again.post(add_checkpoint_body(9, LOG, 12))[0] == 200
    assert_holds(again, LOG, 12)


@pytest.mark.parametrize("place", ["Cosigner.line", "signature_line"])
def test_an_unstored_checkpoint_was_not_answered_and_binds_nobody(place: str, start: Start) -> None:
    first = start()
    _, line = first.post(add_checkpoint_body(0, LOG, 5))
    first.end()
    dying = start(dies_in(place))
    with pytest.raises((OSError, http.client.HTTPException)):
        dying.post(add_checkpoint_body(5, LOG, 9))
    assert dying.process.wait(10) == -9
    assert cosigned_heads(dying.state)[LOG.origin] == (
        5,
        LOG.tree.root(5),
        dated(line, LOG, 5),
        note_held(LOG, line, 5),
    )
    assert start().post(add_checkpoint_body(5, FORK, 9))[0] == 200
    assert start().post(add_checkpoint_body(5, LOG, 9)) == (409, "9\n")


def test_killed_at_any_moment_it_holds_all_that_it_answered(start: Start) -> None:
    rng, size, last = random.Random(5), 5, 0
    # A real process, killed at a random time.
    witness = start()
    assert witness.post(add_checkpoint_body(0, LOG, size))[0] == 200
    for _ in range(5):
        killer = threading.Timer(rng.uniform(0.005, 0.08), witness.process.kill)
        killer.start()
        answered, tried = size, size
        try:
            while tried < len(LOG.lines):
                tried = answered + 1
                status, line = witness.post(add_checkpoint_body(answered, LOG, tried))
                assert status == 200
                at = dated(line, LOG, tried)
                assert at >= last
                answered, last = tried, at
        except (OSError, http.client.HTTPException):
            pass
        killer.join()
        assert witness.end() == -9
        witness = start()
        size = cosigned_heads(witness.state)[LOG.origin].size
        assert size in (answered, tried)
        assert_holds(witness, LOG, size)
        assert witness.post(add_checkpoint_body(size, FORK, size))[0] == (409 if size > 5 else 200)
        if 5 < size < len(FORK.lines):
            assert witness.post(add_checkpoint_body(size, FORK, size + 1)) == UNPROVEN
    assert size > 5


def test_two_processes_on_one_state_cosign_one_lineage(start: Start) -> None:
    both = start(), start()
    accepted = log_of(5)
    assert both[0].post(add_checkpoint_body(0, accepted))[0] == 200
    for step in range(20):
        size = len(accepted.lines)
        sides = [Log([*accepted.lines, b"%d of %d" % (side, step)]) for side in range(2)]
        with ThreadPoolExecutor(2) as pool:
            posts = [
                pool.submit(each.post, add_checkpoint_body(size, log)) for each, log in zip(both, sides, strict=True)
            ]
        answers = [each.result() for each in posts]
        first = 0 if answers[0][0] == 200 else 1
        accepted, other = sides[first], Log([*sides[1 - first].lines, b"and more"])
        assert answers[1 - first] == (409, f"{size + 1}\n")
        dated(answers[first][1], accepted)
        assert_holds(both[1 - first], accepted, size + 1)
        assert [each.post(add_checkpoint_body(size + 1, other)) for each in both] == [UNPROVEN] * 2


def test_an_empty_state_is_reported_as_new(start: Start, tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    first = start(PROGRAM)
    assert "is new: this witness accepts the first checkpoint of each log without a check" in first.output[0]
    assert first.post(add_checkpoint_body(0, LOG, 5))[0] == 200
    first.end()
    assert len(start().output) == 1
