"""The log's key in an HSM (PKCS#11), with SoftHSM as the HSM. Its token is in a directory of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from structlog.testing import capture_logs

from audit_app import checkpoints, heads, hsm, key_copy, keys, log_name, signing_round
from audit_app.keys import BadKey, NoKey
from audit_app.models import AuditEntry, Checkpoint, LogAlarm
from audit_app.notes import Note
from audit_app.signing_round import Work
from requests_app import tasks
from requests_app.models import Heartbeat
from tests.audit.test_checkpoints import AT, TENANT, append
from tests.cast import gather

pytestmark = pytest.mark.django_db

MODULE, PIN = "/usr/lib/softhsm/libsofthsm2.so", "314159"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a token, and yield its directory. It has the file with the PIN."""
    place = tmp_path_factory.mktemp("hsm")
    (place / "tokens").mkdir()
    conf = place / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {place}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    (place / "pin").write_text(f"{PIN}\n")
    (place / "pin").chmod(0o600)
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(conf)
    command = ["softhsm2-util", "--init-token", "--free", "--label", "lockbox", "--pin", PIN, "--so-pin", "271828"]
    subprocess.run(command, check=True, capture_output=True)
    _begin_again()
    yield place
    _begin_again()
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


def _begin_again() -> None:
    """Forget the library, as a new process does."""
    for address in list(hsm._sessions):
        hsm._close(address)
    hsm._initialised.clear()
    hsm._wrong.clear()


def address(token: Path, *, label: str = "log-key", name: str = "lockbox", pin: str = "pin") -> str:
    return f"pkcs11:token={name};object={label}?module-path={MODULE}&pin-source=file:{token}/{pin}"


@pytest.fixture
def in_hsm(token: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use a key in the HSM as the log's key. It is made by the command, once."""
    monkeypatch.setattr(settings, "LOG_KEY", address(token))
    try:
        keys.load()
    except BadKey:
        call_command("log_key", "create", "--anyway", stdout=StringIO(), stderr=StringIO())
    return str(settings.LOG_KEY)


def test_a_key_in_an_hsm_signs_checkpoints_that_everybody_can_verify(in_hsm: str) -> None:
    append(3)
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)
    note = Note.parse(Checkpoint.objects.get().note)
    public = keys.load().publics[0]
    origin = checkpoints.origin_of(TENANT, 0)
    assert note.times(keys.log_key(origin, public)) == [None]
    assert note.times(log_name.clock_key(public)) == [int(AT.timestamp())]


def test_the_command_shows_the_key_and_never_the_pin(in_hsm: str) -> None:
    out = StringIO()
    call_command("log_key", "show", stdout=out, stderr=out)
    assert str(log_name.clock_key(keys.load().publics[0])) in out.getvalue()
    assert PIN not in out.getvalue() + repr(keys.load())


def test_a_key_in_an_hsm_is_never_exported(in_hsm: str) -> None:
    import pkcs11

    [opened] = hsm._sessions.values()
    assert opened.private[pkcs11.Attribute.EXTRACTABLE] is False
    assert opened.private[pkcs11.Attribute.SENSITIVE] is True
    with pytest.raises(BadKey, match="can't be copied"):
        key_copy.sealed(keys.load(), "passphrase")
    with pytest.raises(CommandError, match="can't be copied"):
        call_command("log_key", "copy")
    with pytest.raises(NoKey):
        keys.rotate()


def test_the_set_up_asks_for_no_copy_of_a_key_in_an_hsm(in_hsm: str) -> None:
    gather()
    out = StringIO()
    # Other steps are still open.
    with suppress(SystemExit):
        call_command("set_up", stdout=out)
    assert "The key is in an HSM and can’t be copied." in out.getvalue()
    assert "log_key copy" not in out.getvalue()


def test_a_key_is_made_once(in_hsm: str) -> None:
    before = keys.load().publics
    with pytest.raises(CommandError, match=r"(?i)there is a log key already"):
        call_command("log_key", "create")
    call_command("log_key", "create", "--if-missing")
    assert keys.load().publics == before


def test_the_logs_move_from_a_file_to_an_hsm_by_a_rotation(in_hsm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new key is announced in the log, and the old one also signs until it is retired."""
    monkeypatch.setattr(settings, "LOG_KEY", "")
    append(3)
    checkpoints.sign(TENANT, at=AT)
    old = keys.load().publics[0]
    seed = Path(settings.LOG_KEY_FILE).read_text()
    monkeypatch.setattr(settings, "LOG_KEY", f"{in_hsm}\n{seed}")
    append(1)
    checkpoint = checkpoints.sign(TENANT, at=AT)
    new = keys.load().publics[0]
    assert new != old
    assert AuditEntry.objects.filter(tenant_id=TENANT, event="log.key_rotated").count() == 1
    note = Note.parse(checkpoint.note)
    for public in (old, new):
        assert note.times(keys.log_key(checkpoints.origin_of(TENANT, 0), public)) == [None]


def test_a_session_that_was_lost_is_opened_again(in_hsm: str) -> None:
    """As after a restart of the HSM: the library begins again, and all sessions of this process are gone."""
    import pkcs11

    have = keys.load()
    pkcs11.lib(MODULE).reinitialize()
    append(1)
    assert checkpoints.sign(TENANT, at=AT, have=have).size == 1
    pkcs11.lib(MODULE).reinitialize()
    assert keys.load().publics == have.publics


def test_a_token_that_is_away_signs_nothing_and_goes_on_when_it_is_back(in_hsm: str, token: Path) -> None:
    append(1)
    have = keys.load()
    (token / "tokens").rename(token / "away")
    (token / "tokens").mkdir()
    _begin_again()
    try:
        with capture_logs() as logged:
            tasks.checkpoint()
        [why] = [each["why"] for each in logged if each["event"] == "log_key_unreadable"]
        assert "is the HSM connected" in why
        # The key goes away in the middle of a round: the head is moved, and has no signature yet.
        with pytest.raises(BadKey):
            checkpoints.sign(TENANT, at=AT, have=have)
        assert not Checkpoint.objects.exists()
        assert heads.get(checkpoints.origin_of(TENANT, 0)).note == ""
    finally:
        (token / "tokens").rmdir()
        (token / "away").rename(token / "tokens")
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)
    assert not LogAlarm.objects.exists()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_token_that_is_removed_while_it_signs_leaves_nothing_half_signed(
    number: int, in_hsm: str, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process has an open session, and notices it at the next signature: it makes two for each checkpoint."""
    append(3)
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)
    append(2)
    plain, calls = hsm.HsmKey.sign, 0

    def sign(key: hsm.HsmKey, data: bytes) -> bytes:
        nonlocal calls
        calls += 1
        if calls == number:
            (token / "tokens").rename(token / "away")
            (token / "tokens").mkdir()
        return plain(key, data)

    monkeypatch.setattr(hsm.HsmKey, "sign", sign)
    try:
        with capture_logs() as logged:
            tasks.checkpoint()
            if number == 3:
                append(1)
                tasks.checkpoint()
        [why] = [each["why"] for each in logged if each["event"] == "log_key_unreadable"]
        assert "is the HSM connected" in why
        assert PIN not in str(logged)
        published = [3] if number < 3 else [3, 5]
        assert list(Checkpoint.objects.order_by("pk").values_list("size", flat=True)) == published
        assert not LogAlarm.objects.exists()
        assert Heartbeat.objects.get(name__startswith="signer:").detail.startswith("failed: the log key log-key")
    finally:
        (token / "tokens").rmdir()
        (token / "away").rename(token / "tokens")
    # Nobody starts the process again.
    tasks.checkpoint()
    assert Checkpoint.objects.order_by("pk").last().size == (5 if number < 3 else 6)
    assert Heartbeat.objects.get(name__startswith="signer:").detail == ""


def test_a_wrong_pin_is_tried_once_because_the_token_locks_itself(
    token: Path, in_hsm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = token / "wrong"
    wrong.write_text("000000")
    wrong.chmod(0o600)
    monkeypatch.setattr(settings, "LOG_KEY", address(token, pin="wrong"))
    tries = []
    plain = hsm._Opened

    def opened(*arguments: Any) -> Any:
        tries.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(hsm, "_Opened", opened)
    _begin_again()
    for words in ("the PIN is wrong", "not tried again", "not tried again"):
        with pytest.raises(BadKey, match=words) as caught:
            keys.load()
        assert "000000" not in str(caught.value)
    assert len(tries) == 1
    wrong.write_text(PIN)
    assert keys.load().publics


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("object=log-key", "object=other"), "no such key"),
        (("token=lockbox", "token=other"), "no such token"),
        (("libsofthsm2", "none"), "can't be used"),
        (("file:/", "file:/none"), "can't be read"),
        (("&pin-source", "&pin-value=1&pin-source"), "into a file"),
        (("token=lockbox;", "token=lockbox;colour=red;"), "colour"),
        (("token=lockbox;", ""), "needs token"),
    ],
)
def test_an_address_that_does_not_lead_to_a_key_is_refused(
    in_hsm: str, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], words: str
) -> None:
    monkeypatch.setattr(settings, "LOG_KEY", in_hsm.replace(*change))
    with pytest.raises(BadKey, match=words):
        keys.load()


def test_a_pin_that_others_can_read_is_not_used(in_hsm: str, token: Path) -> None:
    (token / "pin").chmod(0o644)
    try:
        with pytest.raises(BadKey, match="chmod 600"):
            keys.load()
    finally:
        (token / "pin").chmod(0o600)


def test_without_the_optional_package_the_words_say_what_to_install(
    in_hsm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(BadKey, match=r"customer-lockbox\[pkcs11\]"):
        keys.load()


def test_each_process_opens_its_own_session_after_a_fork(in_hsm: str) -> None:
    """The workers are forks. A session of the parent must not be used in a child, and continues in the parent."""
    have = keys.load()
    text = b"signed in a child"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            assert not hsm._sessions
            os.write(writer, have.current.sign(text))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        signature = answer.read()
    os.waitpid(child, 0)
    have.current.public_key().verify(signature, text)
    have.current.public_key().verify(have.current.sign(text), text)
