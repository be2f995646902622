"""The verifier as an auditor runs it: as a separate program. Tests its output and its exit status."""

import ast
import contextlib
import json
import os
import pty
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources import nodes_of
from tests.verify.program import FILE, Program
from tests.verify.runs import receipt
from tests.verify.writer import Log, Signer, bundle, story

#: Each test starts at least one process.
pytestmark = pytest.mark.slow

_prepared: dict[str, Program] = {}
W1 = Signer.of("w1")


@pytest.fixture(scope="module", autouse=True)
def program() -> Iterator[None]:
    """Prepare the program for all runs of this file. Each run is still a process of its own."""
    with Program() as _prepared["program"]:
        yield


def run(*words: object) -> tuple[int, str, str]:
    """Run the verifier's file outside the repository and without access to the product (`-I`)."""
    return _prepared["program"].run(*words)


def started(*words: object, python: str = sys.executable) -> tuple[int, str, str]:
    """Do the same in a new interpreter, which takes six times as long."""
    done = subprocess.run(
        [python, "-I", str(FILE), *map(str, words)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd="/",
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def log() -> Log:
    return Log.of(story(random.Random(6), 200), older=(50, 150), witnesses=(("w1.example", W1),))


@pytest.fixture(scope="module")
def evidence(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(log).zip(tmp_path_factory.mktemp("evidence") / "evidence.zip")


# --- Without other files ---------------------------------------------------------------------------------


def test_the_file_imports_the_standard_library_and_cryptography_and_nothing_else() -> None:
    imported = set()
    for node in nodes_of(FILE):
        if isinstance(node, ast.Import):
            imported |= {each.name.split(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def test_verify_makes_no_connection(evidence: Path) -> None:
    code = (
        "import sys, runpy\n"
        "def hook(event, args):\n"
        "    if event.startswith('socket.') and event != 'socket.__new__' or event == 'subprocess.Popen':\n"
        "        raise RuntimeError(event)\n"
        "sys.addaudithook(hook)\n"
        f"sys.argv = ['x', 'verify', {str(evidence)!r}, '--quiet', '--trust-bundle-key']\n"
        f"runpy.run_path({str(FILE)!r}, run_name='__main__')\n"
    )
    assert subprocess.run([sys.executable, "-I", "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("python", ["python3.12", "python3.13", "python3.14"])
def test_the_verifier_runs_on_a_newer_python(python: str, evidence: Path, log: Log) -> None:
    if not (found := shutil.which(python)):
        pytest.skip("not on this machine")
    if subprocess.run([found, "-I", "-c", "import cryptography"], capture_output=True, check=False).returncode:
        pytest.skip("has no cryptography")
    assert started("verify", evidence, "--key", log.vkey(), "--jobs", 2, python=found)[0] == 0


# --- Good, bad, can't tell -------------------------------------------------------------------------------


def test_without_a_key_that_somebody_named_there_is_no_verdict(evidence: Path, log: Log, tmp_path: Path) -> None:
    """No form of the output has a verdict.

    The text shows the bundle's key, so that the reader can compare it elsewhere.
    """
    status, output, errors = run("verify", evidence)
    assert (status, errors) == (2, "")
    assert "you did not name the key of the log" in output
    assert log.vkey() in output
    assert "WARNING     the key came from the bundle itself." in output
    for how in ("--quiet", "--json"):
        assert run("verify", evidence, how)[0] == 2
    assert run("verify", receipt(log, 3, tmp_path), "--trust-bundle-key")[0] == 2
    assert run("verify", evidence, "--key", log.vkey(), "--require-witness")[0] == 2
    # A witness, or a stored checkpoint whose signer is not in the bundle, does not name a key either.
    assert run("verify", evidence, "--witness", W1.vkey("w1.example", 4))[0] == 2


def test_a_stored_checkpoint_pins_the_key_that_signed_it(evidence: Path, log: Log, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.txt"
    checkpoint.write_text(log.note(99), "utf-8")
    status, output, _ = run("verify", evidence, "--previous", checkpoint)
    assert status == 0
    assert "signed the checkpoint that you saved; fingerprint" in output
    assert "WARNING" not in output
    checkpoint.write_text(log.note(99, (Signer.of("x"),)), "utf-8")
    assert run("verify", evidence, "--previous", checkpoint)[0] == 2


def test_good_with_the_bundle_s_own_key_says_so_loudly(evidence: Path, log: Log) -> None:
    status, output, errors = started("verify", evidence, "--trust-bundle-key")
    assert (status, output, errors) == run("verify", evidence, "--trust-bundle-key")
    assert (status, errors) == (0, "")
    assert output.splitlines()[-1] == "GOOD: everything that was checked is valid."
    assert (
        "WARNING     the key came from the bundle itself. A person who can forge the bundle can put any key in it."
        in output
    )
    assert log.vkey() in output
    assert (
        "cosigned by a key that you did not name, at 2025-06-27T04:53:25Z (the key calls itself w1.example)" in output
    )
    assert "decisions are not proven by a signature of a person's key:" in output


def test_good_with_named_keys_has_no_warning(evidence: Path, log: Log, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(f"# the log's\n\n{log.vkey()}\n", "utf-8")
    checkpoint = tmp_path / "checkpoint.txt"
    checkpoint.write_text(log.note(99), "utf-8")
    witness = W1.vkey("w1.example", 4)
    for key in (log.vkey(), keys):
        status, output, _ = run("verify", evidence, "--key", key, "--witness", witness, "--previous", checkpoint)
        assert status == 0
        assert "cosigned by w1.example at 2025-06-27T04:53:25Z" in output
        assert "WARNING" not in output
        assert "99 entries: the log continues this checkpoint" in output


def test_bad_names_the_first_bad_index_and_why(log: Log, tmp_path: Path) -> None:
    written = bundle(log)
    lines = log.lines[:]
    lines[123] = lines[123].replace(b"pages", b"admin")
    lines[150] = b"{}"
    written.files["entries-0.jsonl"] = b"".join(line + b"\n" for line in lines)
    status, output, _ = run("verify", written.zip(tmp_path / "a.zip"))
    assert status == 1
    why = "the entry's hash is not the hash that the bundle lists for it"
    assert output.splitlines()[-2:] == [f"BAD         log 0, index 123: {why}", "BAD: do not rely on this."]


def test_can_t_tell_says_what_is_missing(evidence: Path, log: Log, tmp_path: Path) -> None:
    cases: list[tuple[tuple[object, ...], str]] = [
        (("verify", tmp_path / "none.zip"), f"{tmp_path / 'none.zip'} can't be read: No such file or directory"),
        (("verify", evidence, "--key", Signer.of("x").vkey(log.origin)), "signed by a key that you did not name"),
        (("verify", evidence, "--key", "none"), "none is neither a verifier key nor a file of verifier keys"),
        (("verify", evidence, "--previous", "/none"), "/none contains no checkpoint"),
        (("verify", evidence, "--consistency", evidence), f"{evidence} contains no consistency proof"),
        (("verify", receipt(log, 3, tmp_path)), "a receipt contains no key: name the log's key with --key"),
    ]
    for words, missing in cases:
        status, output, errors = run(*words)
        assert (status, errors) == (2, "")
        assert missing in output
        assert output.splitlines()[-1].startswith("CAN'T TELL: ")


def test_the_age_of_the_checkpoint_is_reported_in_words(evidence: Path, log: Log, tmp_path: Path) -> None:
    """The verifier prints two ages of the checkpoint: by the bundle's own time, and by this machine's clock.

    --max-age limits the age by this machine's clock.
    """
    status, output, _ = run("verify", evidence, "--key", log.vkey())
    assert status == 0
    assert re.search(
        r"this date was 60 seconds before the bundle was made, according to the bundle; [\d,]+ days ago, by the clock",
        output,
    )
    _, output, _ = run("verify", receipt(log, 3, tmp_path), "--key", log.vkey())
    assert re.search(r"this date was [\d,]+ days ago, by the clock of this machine", output)
    status, output, _ = run("verify", evidence, "--key", log.vkey(), "--max-age", "1.5")
    assert status == 2
    assert re.search(
        r"by the clock of this machine, the checkpoint of log 0 is [\d,]+ days old, which is more than you allow",
        output,
    )
    assert run("verify", evidence, "--key", log.vkey(), "--max-age", 10**6)[0] == 0
    assert run("verify", evidence, "--key", log.vkey(), "--max-age", "nan")[0] == 2


def test_a_receipt_says_what_it_is_for(log: Log, tmp_path: Path) -> None:
    status, output, _ = run("verify", receipt(log, 3, tmp_path), "--key", log.vkey())
    assert status == 0
    assert "entry       index 3: access_request." in output


def test_programs_get_json_and_quiet_is_quiet(evidence: Path) -> None:
    status, output, errors = run("verify", evidence, "--json", "--trust-bundle-key")
    data = json.loads(output)
    assert (status, errors, data["result"], data["exit"]) == (0, "", "good", 0)
    assert output.isascii()
    assert run("verify", evidence, "--quiet", "--trust-bundle-key") == (0, "", "")


def test_words_of_the_command_line_that_make_no_sense_are_status_2() -> None:
    both = ("verify", "x", "--key", "k", "--trust-bundle-key")
    for words in ((), ("verify",), ("verify", "x", "--none"), both, ("none",), ("witness",)):
        status, output, errors = run(*words)
        assert (status, output) == (2, "")
        assert "usage: lockbox_verify.py" in errors


def test_text_from_a_bundle_can_t_write_on_the_terminal(log: Log, tmp_path: Path) -> None:
    written = bundle(log)
    written.manifest["tenant"]["name"] = "Con\x1b[2Jtoso\r\nGOOD \u202e"
    _, output, _ = run("verify", written.zip(tmp_path / "a.zip"))
    assert "Con\\u001b[2Jtoso\\u000d\\u000aGOOD \\u202e" in output
    assert all(char.isprintable() or char == "\n" for char in output)


def test_a_terminal_sees_progress_and_a_pipe_does_not(evidence: Path) -> None:
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-I", str(FILE), "verify", str(evidence), "--trust-bundle-key"],
        stdout=subprocess.PIPE,
        stderr=slave,
        check=False,
    )
    os.close(slave)
    shown = os.read(master, 10_000).decode()
    os.close(master)
    assert done.returncode == 0
    assert shown.startswith("\r200 of 200 entries (100 %)")
    assert shown.endswith("\r\x1b[K")


# --- The witness's output --------------------------------------------------------------------------------


def test_a_witness_s_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "witness.key"
    status, vkey, _ = run("witness-key", "--name", "w.example", "--key-file", path)
    assert status == 0
    assert vkey.startswith("w.example+")
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    status, output, errors = run("witness-key", "--name", "w.example", "--key-file", path)
    assert (status, output, errors) == (2, "", f"{path} was not written: File exists\n")
    assert path.read_bytes() == before
    assert run("witness-key", "--name", "w example", "--key-file", tmp_path / "x")[0] == 2
    assert not (tmp_path / "x").exists()


def test_a_witness_does_not_start_on_what_it_can_t_trust(log: Log, tmp_path: Path) -> None:
    key, state = tmp_path / "witness.key", tmp_path / "witness.sqlite3"
    run("witness-key", "--name", "w.example", "--key-file", key)
    words: tuple[object, ...] = ("witness", "--name", "w.example", "--key-file", key, "--state", state)
    words += ("--log", log.vkey(), "--listen", "127.0.0.1:0")
    state.write_bytes(b"SQLite format 3\x00" + bytes(5000))
    assert _refusal(words).startswith(f"{state} is damaged or can't be used: ")
    state.write_bytes(b"rubbish" * 1000)
    assert _refusal(words).startswith(f"{state} is damaged or can't be used: ")
    state.unlink()
    with contextlib.closing(sqlite3.connect(state)) as other:
        other.execute("CREATE TABLE a (b)")
    assert _refusal(words) == f"{state} is a database of another program\n"
    state.unlink()
    key.chmod(0o644)
    assert _refusal(words) == f"other users have access to {key}: run chmod 600 {key}\n"
    key.chmod(0o600)
    assert _refusal((*words[:2], "other.example", *words[3:])).endswith(
        "contains the key of w.example, not of other.example\n"
    )
    assert "none of these keys belongs to a log" in _refusal((*words[:8], W1.vkey("w", 4), *words[9:]))
    assert not state.exists()


def _refusal(words: tuple[object, ...]) -> str:
    status, output, errors = run(*words)
    assert (status, output) == (2, "")
    assert errors.count("\n") == 1
    return errors
