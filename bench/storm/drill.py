"""The drill: make a backup under load with the documented commands, lose the machine, and restore on another machine.

The commands are read from docs/backup.md of the source tree, so the drill tests what operators read.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyrage

from bench.storm import checks, processes
from bench.storm.checks import Violation
from bench.storm.installation import CommandFailed, Installation
from bench.storm.journal import IntendedAct, Outcome
from bench.storm.postgres import Server
from bench.storm.reading import Database, Reader
from bench.storm.storm import Storm
from bench.storm.tree import checkpoint, follows

#: When the backup begins, as a part of the storm's time.
AFTER = 0.5


#: For each command, words that only its line in docs/backup.md has.
COMMANDS = {
    "backup": ("customer-lockbox backup --to", "--recipient"),
    "copy": ("customer-lockbox log_heads copy --to /",),
    "restore": ("customer-lockbox restore", "--heads"),
    "verify": ("customer-lockbox verify_audit",),
}


def commands(tree: Path) -> dict[str, str]:
    """Return the commands for backup, heads, restore and check in docs/backup.md, by name."""
    blocks = re.findall(r"```text\n(.*?)```", (tree / "docs" / "backup.md").read_text(), re.DOTALL)
    blocks += re.findall(r"`(customer-lockbox [^`]+)`", (tree / "docs" / "backup.md").read_text())
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return {name: next(line for line in lines if all(word in line for word in of)) for name, of in COMMANDS.items()}


class Drill(Storm):
    """A storm without faults, during which a backup is made.

    Then the machine is lost, and a new machine replaces it.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **{**named, "with_faults": False})
        self.commands = commands(self.tree)
        self.backup, self.key, self.heads = (self.directory / name for name in ("backup", "backup.key", "heads"))
        self.backup_begun = self.backup_took = 0.0

    # --- During the storm ------------------------------------------------------------------------------------

    def while_it_blows(self, begun: float) -> None:
        time.sleep(max(0.0, begun + self.seconds * AFTER - time.monotonic()))
        self.backup.mkdir()
        self.heads.mkdir()
        identity = pyrage.x25519.Identity.generate()
        self.key.write_text(f"{identity}\n")
        # The content needs a backup of its own.
        shutil.copytree(self.installation.data / "content", self.directory / "content")
        self.backup_begun = time.time()
        started = time.monotonic()
        print(self._command("backup", self.installation, {"age1…": str(identity.to_public())}), flush=True)
        self.backup_took = time.monotonic() - started
        print(f"The backup took {self.backup_took:.1f} s", flush=True)

    def _command(self, name: str, installation: Installation, places: dict[str, str] | None = None) -> str:
        """Run a documented command with the places of the drill. Return its output."""
        here = {"/srv/backups": self.backup, "/mnt/lockbox-heads": self.heads, "/tmp/practice": installation.data}
        line = self.commands[name]
        for before, after in {**here, **(places or {})}.items():
            line = line.replace(before, str(after))
        program, *words = line.split()
        assert program == "customer-lockbox"
        command = [sys.executable, "-P", "-m", "lockbox_site.command_line", *words]
        done = subprocess.run(
            command, cwd=self.directory, env=installation.env, capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            raise CommandFailed(command, done.returncode, done.stdout[-2000:] + done.stderr[-2000:])
        return done.stdout

    # --- Afterwards --------------------------------------------------------------------------------------------

    def calm_down_and_check(self, journal: Any) -> list[Violation]:
        """Lose the machine, restore on another machine, and return what is wrong there.

        Only the backup, with the keys, and the newest heads are left.
        """
        self.memory_ended = processes.memory(self.installation.family())
        notes_before = Reader(self.installation, self.cast).heads()
        self._burn()
        self._restore()
        return self._check_restored(journal.acts, notes_before)

    def _burn(self) -> None:
        family = self.installation.family()
        processes.send(signal.SIGKILL, *family)
        assert self.installation.process is not None
        self.installation.process.wait(30)
        self.installation.process = None
        # The heads are always stored on another machine too. This needs no database.
        self._command("copy", self.installation)
        shutil.rmtree(self.installation.data)
        if self.server is not None:
            self.server.destroy()
        if self.proxy is not None:
            self.proxy.kill()

    def _restore(self) -> None:
        """Restore on a new machine: a new directory and a new server, with the saved files."""
        elsewhere = self.directory / "elsewhere"
        url = ""
        if self.server is not None:
            self.server = Server(self.directory / "postgres-elsewhere.log")
            self.server.create()
            url = self.server.url(self.server.port)
        restored = Installation(self.tree, elsewhere, database_url=url, mail_port=self.mail.port)
        shutil.copytree(self.directory / "content", restored.data / "content")
        (file,) = self.backup.glob("lockbox-*.age")
        words = self.commands["restore"].split()
        started = time.monotonic()
        print(self._command("restore", restored, {words[2]: str(file), "lockbox-backup.key": str(self.key)}))
        print(f"The restore took {time.monotonic() - started:.1f} s", flush=True)
        facts = self.installation.facts
        self.installation, self.rows = restored, Database(restored, self.server)
        restored.manage("collectstatic", "--noinput", "-v0")
        # The restore has ended all tokens.
        restored.run([sys.executable, str(Path(__file__).with_name("world.py")), str(facts)])
        for name, token in json.loads(facts.read_text())["callers"]["tokens"].items():
            self.cast.people[name].token = token

    def _check_restored(self, acts: list[IntendedAct], notes_before: list[str]) -> list[Violation]:
        found = self._reported_as_documented()
        self.installation.start()
        # Long enough for the signer to check every log.
        time.sleep(8)
        reader = Reader(self.installation, self.cast)
        logs = {slug: reader.log(slug) for slug in self.cast.tenants}
        self.entries = sum(len(lines) for lines in logs.values())
        found += self._signed_as_documented(reader, logs, notes_before)
        earlier = [act for act in acts if act.calls and act.ended < self.backup_begun]
        later = [act for act in acts if act.calls and act.ended >= self.backup_begun]
        there = checks.found_in(logs, self.rows.comments())
        found += checks.once(earlier, there)
        lost = [each for each in checks.once(later, there) if each.kind == "an acknowledged act is not in the log"]
        print(f"Acknowledged before the backup began: {_done(earlier)}; after it: {_done(later)}, lost: {len(lost)}")
        at = dt.datetime.now(dt.UTC)
        for slug, lines in logs.items():
            replay = self._replay(slug, lines)
            found += checks.replayed(slug, replay, at, dt.timedelta(days=1))
            # The verifier shares no code with the product. It checks everything that the restored log has signed.
            found += reader.verified(slug, self.directory)
        self.installation.stop()
        return found

    def _reported_as_documented(self) -> list[Violation]:
        """Run `verify_audit`, and store whether it ended with status 1 and printed BAD.

        Return no violation. `_signed_as_documented` uses the stored value.
        """
        try:
            output = self._command("verify", self.installation)
            status = 0
        except CommandFailed as failure:
            output, status = failure.output, failure.status
        print("verify_audit after the restore:", status, *output.strip().splitlines()[-4:], sep="\n  ")
        (self.directory / "verify_audit.txt").write_text(output)
        self.was_reported = status == 1 and "BAD" in output
        return []

    def _signed_as_documented(self, reader: Reader, logs: dict[str, Any], notes: list[str]) -> list[Violation]:
        """Check that each log shorter than its head has an alarm, and that no other log has one.

        If there is a shorter log, also check that `verify_audit` has reported it.
        """
        found, shorter = [], 0
        for slug, lines in logs.items():
            tenant = self.cast.tenants[slug]["id"]
            note = next((note for note in notes if tenant in note.split("\n")[0]), "")
            state = json.loads(reader.get(slug, "log"))
            if not note:
                continue
            is_shorter = checkpoint(note).size > state["size"] or bool(
                follows([bytes.fromhex(line["leaf_hash"]) for line in lines], note)
            )
            shorter += is_shorter
            if is_shorter and not state["alarm"]:
                found.append(Violation("the signer went on with a log that is shorter than its head", slug))
            if not is_shorter and state["alarm"]:
                found.append(Violation("the signer refused a log that is whole", f"{slug}: {state['alarm']}"))
        if shorter and not self.was_reported:
            found.append(
                Violation("verify_audit did not say that a log is shorter than it was signed", f"{shorter} logs")
            )
        print(f"{shorter} of {len(logs)} logs are shorter than what was signed of them, and refused")
        return found


def _done(acts: list[IntendedAct]) -> int:
    return sum(act.changes and act.outcome is Outcome.DONE for act in acts)
