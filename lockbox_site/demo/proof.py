"""The scenes in which the customer checks the provider: with a witness of its own, and by verifying evidence."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from django.conf import settings

from lockbox_site import places
from lockbox_site.demo.browser import Page, Stopped
from lockbox_site.demo.play import Play, expect
from lockbox_site.demo.stage import HOST, Mail, free_port
from requests_app.domain import clock

WITNESS = "witness.contoso.example"
#: The customer gets only this file from the product's source, and runs it on its own machine.
VERIFIER = Path(settings.VERIFIER)
BUNDLE = Path(settings.DATA_DIR) / "evidence.zip"
T = TypeVar("T")
_VKEY = re.compile(r"[^\s'\"<>]+/log/[0-9a-f-]{36}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}")


@dataclass(frozen=True)
class CustomerRecords:
    """What Contoso saves at the beginning: the log's key, the key of its witness, and a checkpoint."""

    log_key: str
    key_file: Path
    witness_key: str
    checkpoint: Path


def at_home(*arguments: str, expected: int = 0) -> str:
    """Run the verifier as the customer does, without access to the product's packages. Return its output."""
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-I", str(VERIFIER), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    output = (done.stdout + done.stderr).strip()
    expect(done.returncode == expected, f"the verifier ends with {expected}, not {done.returncode}: {output}")
    return output


@contextmanager
def a_witness(here: Play) -> Iterator[CustomerRecords]:
    """Save the log's key, start a witness, and register the witness, all as Contoso does. The block runs meanwhile."""
    here.scene("Contoso trusts nobody: it saves the log's key, and runs its own witness")
    home = Path(settings.DATA_DIR) / "contoso-at-home"
    home.mkdir()
    administrator = here.person("ines.vogel")
    tenant = next(iter(administrator.get("/").links("/tenant/")), "")
    expect(bool(tenant), "the administrator is shown the way to the tenant")
    rules = f"{tenant}witnesses/"
    log_key = _until(lambda: _log_key(administrator.get(rules)), "the log has a verifier key")
    key_file = home / "log.key"
    key_file.write_text(log_key + "\n")
    here.tell("Ines Vogel", "notes the verifier key of Contoso's log", detail=log_key)
    witness_key = at_home("witness-key", "--name", WITNESS, "--key-file", str(home / "witness.key")).splitlines()[-1]
    port = free_port()
    log = (home / "witness.log").open("wb")
    process = subprocess.Popen(  # noqa: S603 - our own command line
        [
            sys.executable, "-I", str(VERIFIER), "witness", "--name", WITNESS,
            "--key-file", str(home / "witness.key"), "--state", str(home / "witness.sqlite3"),
            "--log", log_key, "--listen", f"{HOST}:{port}",
        ],
        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    log.close()
    try:
        page = administrator.get(rules)
        page = administrator.submit(page, page.form(having="vkey"), vkey=witness_key, url=f"http://{HOST}:{port}/")
        expect(WITNESS in page.text, "the witness is registered", page)
        here.tell("Ines Vogel", "registers it; from here on it cosigns every checkpoint that continues the last one")
        checkpoint = home / "checkpoint-first-day.txt"
        origin = log_key.partition("+")[0]
        size = _until(lambda: _witnessed_size(home, origin), "the witness has cosigned the log", within=60)
        checkpoint.write_text(f"{size}\n")
        yield CustomerRecords(log_key, key_file, witness_key, checkpoint)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


def receipt_of_the_mail(here: Play, mail: Mail, records: CustomerRecords) -> None:
    """Verify the proofs that are attached to the mail about a closed window: of the closing and of both decisions."""
    attached = [part for part in mail.message.iter_attachments() if str(part.get_filename()).endswith(".tlog-proof")]
    expect(len(attached) == 3, "the closing mail carries three receipts")
    for part in attached:
        receipt = Path(settings.DATA_DIR) / "contoso-at-home" / str(part.get_filename())
        receipt.write_bytes(_bytes_of(part.get_content()))
        at_home("verify", str(receipt), "--key", records.log_key)
        here.tell("Ada Keller", f"checks a receipt in the mail on her own machine: {receipt.name} is good")


def the_evidence(here: Play, records: CustomerRecords, entries: int) -> None:
    here.scene("Contoso's auditor downloads the evidence, and checks it without a network")
    auditor = here.person("otto.brandt")
    log = next(iter(auditor.get("/").links("/log/")), "")
    _until(lambda: _cosigned(auditor.get(f"{log}checkpoint/"), entries), "the log is signed and cosigned", within=90)
    page = auditor.get(f"{log}evidence/")
    taken = auditor.submit(page, page.form(having="download"))
    expect(taken.status == 200 and taken.headers.get_content_type() == "application/zip", "evidence comes", taken)
    BUNDLE.write_bytes(taken.body)
    here.tell("Otto Brandt", f"downloads the evidence of Contoso's whole log ({len(taken.body) // 1024} kB)")
    output = at_home(
        *("verify", str(BUNDLE), "--key", records.log_key, "--witness", records.witness_key),
        *("--previous", str(records.checkpoint)),
    )
    here.tell(
        "Otto Brandt", "runs lockbox_verify.py: everything is valid, and it continues what was saved on the first day"
    )
    signed = "signed by Ada Keller <ada.keller@contoso.example>'s passkey Software passkey"
    expect(signed in output, f"the verifier says whose passkey signed the approval: {output}")
    by_provider = "signed in the name of Pat Doyle"
    expect(by_provider in output, f"the verifier says that the provider's approval is signed: {output}")
    here.tell(
        "Otto Brandt",
        "reads there whose passkey signed the approval, and which decisions nobody signed",
        detail="The passkeys were software here: it shows that the format holds, and nothing about a human.",
    )
    here.console.print(output, highlight=False, markup=False, soft_wrap=True)
    program = f"{_from_here(Path(sys.executable))} {_from_here(VERIFIER)}"
    by_hand = f"{program} verify {_from_here(BUNDLE)} --key {_from_here(records.key_file)}"
    here.console.print(f"Once more by hand: {by_hand}", highlight=False, soft_wrap=True)
    _one_word(here, records)


def _one_word(here: Play, records: CustomerRecords) -> None:
    """Change one word in the evidence, and check that the verifier names the entry that has this word."""
    forged = BUNDLE.with_name("evidence-forged")
    shutil.unpack_archive(BUNDLE, forged)
    entries = forged / "entries-0.jsonl"
    lines = entries.read_bytes().split(b"\n")
    index = next(at for at, line in enumerate(lines) if b"content.opened" in line)
    lines[index] = lines[index].replace(b"content.opened", b"content.listed")
    entries.write_bytes(b"\n".join(lines))
    output = at_home("verify", str(forged), "--key", records.log_key, expected=1)
    expect(str(index) in output, f"the verifier names entry {index}: {output}")
    shutil.rmtree(forged)
    here.tell("Otto Brandt", f"tries it: one word of entry {index} changed, and the verifier names the entry")


# --- Helpers -------------------------------------------------------------------------------------------------


def _log_key(page: Page) -> str:
    found = _VKEY.search(html.unescape(page.body.decode()))
    return found[0] if found else ""


def _witnessed_size(home: Path, origin: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-I", str(VERIFIER), "previous", origin, "--state", str(home / "witness.sqlite3")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout.strip() if done.returncode == 0 else ""


def _cosigned(page: Page, entries: int) -> bool:
    """Return whether the newest checkpoint covers at least this number of entries and is cosigned by the witness."""
    lines = page.body.decode().split("\n")
    return page.status == 200 and int(lines[1]) >= entries and any(line.startswith(f"— {WITNESS} ") for line in lines)


def _from_here(path: Path) -> Path:
    base = Path(settings.BASE_DIR)
    return path.relative_to(base) if path.is_relative_to(base) and not places.IS_WHEEL else path


def _bytes_of(content: object) -> bytes:
    return content.encode() if isinstance(content, str) else bytes(content)  # type: ignore[call-overload]


def _until(look: Callable[[], T], what: str, *, within: float = 30.0) -> T:
    ends = clock.monotonic() + within
    while clock.monotonic() < ends:
        if found := look():
            return found
        time.sleep(0.3)
    raise Stopped(f"Within {within:.0f} s it was not seen that {what}.")
