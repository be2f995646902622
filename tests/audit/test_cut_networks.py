"""The network between a signer and the place of the heads is cut: nothing wrong is signed, and signing continues."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings

from audit_app import checkpoints, head_bucket, head_directory, head_text, heads, s3, signing_round
from audit_app.models import Checkpoint, LogAlarm, SignedHead, SignerLease
from audit_app.signing_round import Work
from audit_app.stored_heads import HeadsUnavailable, PlaceUnusable
from tests import object_store
from tests.audit.test_checkpoints import AT, TENANT, append
from tests.audit.test_two_signers import HOUR, SECOND, on_host, require_sound
from tests.stalling import Proxy

pytestmark = pytest.mark.django_db

#: Logs beside the usual one.
OTHERS = [UUID(int=number) for number in range(101, 106)]
#: Seconds that a call to the store may take in these tests.
PATIENCE = 0.2


class Cut:
    """A store that host a reaches through a proxy, and host b directly."""

    def __init__(self, server: object_store.Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.patch = server, monkeypatch
        self.proxy = Proxy(server.server_port)

    def on(self, host: str) -> None:
        """Work on this host."""
        on_host(host, self.patch)
        port = self.proxy.port if host == "a" else self.server.server_port
        self.patch.setattr(settings, "LOG_HEADS_S3_ENDPOINT", f"http://127.0.0.1:{port}")

    def at_write(self, number: int, what: Callable[[], None]) -> None:
        """Do `what` just before this host sends its next write of a head, or the one after it."""
        plain, writes = head_bucket.Bucket.put, 0

        def put(bucket: Any, name: str, *rest: Any, **named: Any) -> None:
            nonlocal writes
            writes += "heads/" in name
            if writes == number:
                self.patch.setattr(head_bucket.Bucket, "put", plain)
                what()
            plain(bucket, name, *rest, **named)

        self.patch.setattr(head_bucket.Bucket, "put", put)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cut]:
    server = object_store.Faulty()
    for name, value in object_store.settings_of(server.endpoint).items():
        monkeypatch.setattr(settings, name, value)
    monkeypatch.setattr(settings, "LOG_HEADS", f"s3://{object_store.BUCKET}/p")
    monkeypatch.setattr(s3, "TIMEOUT", PATIENCE)
    with ExitStack() as ending:
        ending.callback(server.server_close)
        ending.callback(server.shutdown)
        made = Cut(server, monkeypatch)
        ending.callback(made.proxy.end)
        made.on("a")
        yield made


@pytest.mark.parametrize("kind", ["answer lost", "held back"])
@pytest.mark.parametrize(("step", "number"), [("the head is moved", 1), ("the note is stored", 2)])
def test_a_write_whose_answer_never_comes_is_continued_by_the_next_host(
    step: str, number: int, kind: str, cut: Cut, signed_sizes: list[int]
) -> None:
    """The object may be written, and the signer can't find out. A write that is held back arrives much later."""
    append(3)
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)
    append(2)
    cut.at_write(number, cut.proxy.lose_answers if kind == "answer lost" else cut.proxy.cut)
    start, writes = time.monotonic(), cut.server.writes
    with pytest.raises(PlaceUnusable, match="does not answer"):
        signing_round.work(lambda: AT, limit=10)
    assert time.monotonic() - start < 10 * PATIENCE
    is_written = kind == "answer lost"
    assert cut.server.writes - writes == number - 1 + is_written
    assert signed_sizes.count(5) == number - 1
    assert Checkpoint.objects.get().size == 3
    # The cut says nothing about the log, and the other host need not wait until the lease has ended.
    assert not LogAlarm.objects.exists()
    assert SignerLease.objects.get().released_at == AT

    cut.on("b")
    assert signing_round.work(lambda: AT + SECOND, limit=10) == Work(signed=1)
    assert signed_sizes.count(5) == number
    require_sound()
    by_b = heads.get(checkpoints.origin_of(TENANT, 0))
    assert by_b is not None

    writes = cut.server.writes
    cut.proxy.heal()
    _wait_for(lambda: cut.server.writes == writes + (not is_written))
    now = heads.get(by_b.head.origin)
    assert now is not None
    assert now.is_same(by_b)
    cut.on("a")
    append(1)
    assert signing_round.work(lambda: AT + 2 * SECOND, limit=10) == Work(signed=1)
    require_sound()


def test_without_conditions_a_write_that_was_held_back_would_replace_a_newer_head(cut: Cut) -> None:
    """This shows that the test above can fail."""
    append(3)
    signing_round.work(lambda: AT, limit=10)
    append(2)
    cut.at_write(1, cut.proxy.cut)
    with pytest.raises(PlaceUnusable):
        signing_round.work(lambda: AT, limit=10)
    cut.on("b")
    append(1)
    signing_round.work(lambda: AT + SECOND, limit=10)
    cut.server.ignores = ("If-Match",)
    writes = cut.server.writes
    cut.proxy.heal()
    _wait_for(lambda: cut.server.writes == writes + 1)
    with pytest.raises(AssertionError):
        require_sound()


@pytest.mark.parametrize("kind", ["bucket", "directory"])
def test_a_place_that_goes_away_ends_the_round_at_its_first_log(
    kind: str, cut: Cut, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each further log would cost the same time, while the other host waits, and would get an alarm about nothing."""
    share = tmp_path / "share"
    share.mkdir()
    if kind == "directory":
        monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{share}")
    plain = checkpoints._read
    tried = []

    def cut_first(tenant_id: UUID) -> Any:
        tried.append(tenant_id)
        if len(tried) == 2:
            share.rename(tmp_path / "away")
            cut.proxy.cut()
        return plain(tenant_id)

    monkeypatch.setattr(checkpoints, "_read", cut_first)
    for tenant in OTHERS:
        append(1, tenant=tenant)
    start = time.monotonic()
    with pytest.raises(PlaceUnusable):
        signing_round.work(lambda: AT, limit=10)
    assert time.monotonic() - start < 10 * PATIENCE
    assert len(tried) == 2
    assert not LogAlarm.objects.exists()
    assert SignerLease.objects.get().released_at == AT
    (tmp_path / "away").rename(share)
    cut.on("b")
    assert signing_round.work(lambda: AT + SECOND, limit=10) == Work(signed=len(OTHERS) - 1)


@pytest.mark.parametrize("kind", ["bucket", "directory"])
def test_a_log_whose_head_gets_no_answer_is_tried_again_without_an_alarm(
    kind: str, cut: Cut, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The place answers about all others, so the network is back already, or one object or file has a fault."""
    if kind == "directory":
        monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}")
    for tenant in OTHERS:
        append(1, tenant=tenant)
    plain_call, plain_newest = s3.Bucket._call, head_directory._newest
    name = head_text.folder_of(checkpoints.origin_of(OTHERS[0], 0))

    def call(bucket: Any, method: str, of: str, **more: Any) -> Any:
        if name in of:
            raise s3.Unknown("the store does not answer (TimeoutError)")
        return plain_call(bucket, method, of, **more)

    def newest(folder: Path) -> Any:
        if folder == tmp_path / name:
            raise OSError(errno.ESTALE, "Stale file handle")
        return plain_newest(folder)

    with monkeypatch.context() as patch:
        patch.setattr(s3.Bucket, "_call", call)
        patch.setattr(head_directory, "_newest", newest)
        done = signing_round.work(lambda: AT, limit=10)
    assert (done.signed, done.failed, done.refused) == (len(OTHERS) - 1, [OTHERS[0]], [])
    assert not LogAlarm.objects.exists()
    assert signing_round.work(lambda: AT + SECOND, limit=10) == Work(signed=1)


def test_a_head_that_cannot_be_read_keeps_no_other_idle_log_from_its_date(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As with a folder of another user. The place itself can be used."""
    monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}")
    for tenant in OTHERS:
        append(1, tenant=tenant)
    signing_round.work(lambda: AT, limit=10)
    plain, locked = head_directory._newest, head_text.folder_of(checkpoints.origin_of(OTHERS[0], 0))

    def newest(folder: Path) -> Any:
        if folder == tmp_path / locked:
            raise PermissionError(13, "Permission denied")
        return plain(folder)

    monkeypatch.setattr(head_directory, "_newest", newest)
    done = signing_round.work(lambda: AT + HOUR, limit=10)
    assert (done.dated, done.refused) == (len(OTHERS) - 1, [(OTHERS[0], "outside_unreadable")])
    assert SignedHead.objects.filter(dated_at=AT + HOUR).count() == len(OTHERS) - 1


# --- One call to the store ----------------------------------------------------------------------------------------


@pytest.fixture
def dead() -> Iterator[tuple[str, int]]:
    """Yield an address that never answers: its queue of connections is full, so the kernel drops new ones."""
    with ExitStack() as open_ones:
        server = open_ones.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(8):
            made = open_ones.enter_context(socket.socket())
            made.setblocking(False)
            made.connect_ex(server.getsockname())
        yield server.getsockname()


def _has_addresses(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_given, **_more: rows)


def test_a_name_with_many_addresses_that_do_not_answer_takes_no_longer_than_one(
    cut: Cut, dead: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _has_addresses(monkeypatch, *[dead] * 8)
    start = time.monotonic()
    with pytest.raises(HeadsUnavailable, match="does not answer"):
        heads.store().identity()
    assert PATIENCE < time.monotonic() - start < 8 * PATIENCE


def test_the_next_address_of_a_store_is_tried(cut: Cut, dead: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "TIMEOUT", 10 * PATIENCE)
    _has_addresses(monkeypatch, dead, ("127.0.0.1", cut.server.server_port))
    assert heads.store().identity("a") == "a"


def _wait_for(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)
    # A write that is counted is handled a moment later.
    time.sleep(0.1)
