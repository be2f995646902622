"""Stores the heads in a bucket that several hosts share (S3): one object for each log, with conditional writes.

A write names the ETag of the object that was read (`If-Match`), or that no object exists (`If-None-Match: *`). If the
answer of a write is lost, the object is read again before anything else happens: only what is found there counts.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.module_loading import import_string

from audit_app import head_text
from audit_app.s3 import Bucket, Conflict, StoreFault, Unknown
from audit_app.stored_heads import BUCKET, HeadConflict, HeadsUnavailable, Move, NoAnswer, StoredHead, read_back

#: How many objects are read or written at the same time.
AT_ONCE = 8
#: How often a write is sent whose answer was lost.
ATTEMPTS = 3
#: How many writers compete in the test of the store.
RIVALS = 4

_A = TypeVar("_A")
_B = TypeVar("_B")

#: The places that were tested in this process, and refused a stale write.
_tested: set[tuple[str, str, str]] = set()
_test = threading.Lock()


def opened(place: str) -> Objects:
    """Return the store at `s3://bucket/prefix`. The address and the key of the S3 service are in the settings."""
    parts = urlsplit(place)
    region = settings.LOG_HEADS_S3_REGION
    bucket = Bucket(
        endpoint=settings.LOG_HEADS_S3_ENDPOINT or f"https://s3.{region}.amazonaws.com",
        bucket=parts.netloc,
        region=region,
        access_key=settings.LOG_HEADS_S3_ACCESS_KEY,
        secret_key=settings.LOG_HEADS_S3_SECRET_KEY,
        now=import_string(settings.LOG_CLOCK),
        ca_file=settings.LOG_HEADS_S3_CA_FILE,
    )
    return Objects(bucket, parts.path.strip("/"))


@dataclass(frozen=True)
class Objects:
    bucket: Bucket
    prefix: str

    @property
    def name(self) -> str:
        return f"{BUCKET}{self.bucket.bucket}/{self.prefix}"

    def exists(self) -> bool:
        return True

    def get(self, origin: str) -> StoredHead | None:
        found = self._read(origin)
        return found[0] if found else None

    def get_many(self, origins: Sequence[str]) -> dict[str, StoredHead]:
        rows = _at_once(lambda origin: read_back(self.get, origin), origins)
        return {origin: row for origin, row in zip(origins, rows, strict=True) if row is not None}

    def every(self) -> list[StoredHead]:
        start = self._object("heads/")
        with self._reported():
            names = list(self.bucket.names(start))
        found = [each for each in _at_once(self._read_object, names) if each is not None]
        return sorted((head for head, _tag, _content in found), key=lambda each: each.head.origin)

    def put_many(self, moves: Sequence[Move]) -> dict[str, StoredHead]:
        are_put = _at_once(self._is_put, moves)
        return {move.after.head.origin: move.after for move, is_put in zip(moves, are_put, strict=True) if is_put}

    def require_usable(self) -> None:
        """Raise HeadsUnavailable if the store can't be written, or does not refuse a stale write.

        A store that ignores the conditions would let two signers overwrite each other's heads. Each process tests it
        once.
        """
        which = (self.bucket.endpoint, self.bucket.bucket, self.prefix)
        with _test:
            if which not in _tested:
                with self._reported():
                    self._require_conditions()
                _tested.add(which)

    def identity(self, new: str = "") -> str:
        name = self._object("installation")
        with self._reported():
            if new:
                # After a lost answer too, what is found there counts.
                with suppress(Conflict, Unknown):
                    self.bucket.put(name, new.encode(), after=None)
            found = self.bucket.get(name)
        return found[0].decode(errors="replace") if found else ""

    def _require_conditions(self) -> None:
        name = self._object(f"probe/{secrets.token_hex(16)}")
        try:
            self.bucket.put(name, b"1", after=None)
            self._require_refused(name, b"2", after=None)
            tag = self._tag(name)
            # One of these writers may win, and no more.
            won = _at_once(lambda body: self._is_written(name, body, tag), [b"3%d" % n for n in range(RIVALS)])
            if won.count(True) > 1 or self._tag(name) == tag:
                raise HeadsUnavailable(f"{self.name} can't be used: two writers can change one object at the same time")
            self._require_refused(name, b"4", after=tag)
        finally:
            with suppress(StoreFault):
                self.bucket.delete(name)

    def _require_refused(self, name: str, body: bytes, *, after: str | None) -> None:
        if self._is_written(name, body, after):
            condition = "If-Match" if after else "If-None-Match"
            raise HeadsUnavailable(
                f"{self.name} can't be used: the store ignores {condition} and overwrites what another signer has "
                "written; use a newer version of the store, or another store"
            )

    def _is_written(self, name: str, body: bytes, after: str | None) -> bool:
        try:
            self.bucket.put(name, body, after=after)
        except (Conflict, Unknown):
            return False
        return True

    def _tag(self, name: str) -> str:
        found = self.bucket.get(name)
        if found is None or not found[1]:
            raise HeadsUnavailable(f"{self.name} can't be used: the store has no ETag for an object")
        return found[1]

    def _is_put(self, move: Move) -> bool:
        try:
            with self._reported():
                self._put(move)
        except HeadConflict:
            return False
        return True

    def _put(self, move: Move) -> None:
        self.require_usable()
        origin = move.after.head.origin
        found = self._read(origin)
        if (found is None) != (move.before is None) or (found and move.before and not found[0].is_same(move.before)):
            raise HeadConflict(f"another head of {origin} is kept than was read")
        name, tag = self._object_of(origin), found[1] if found else None
        content = head_text.written(move.after, by=secrets.token_hex(16))
        for _attempt in range(ATTEMPTS):
            try:
                self.bucket.put(name, content, after=tag)
            except (Conflict, Unknown) as fault:
                # After a lost answer, the next attempt can be refused because the first was written.
                if self._is_ours(name, content, tag):
                    return
                last = fault
            else:
                return
        raise NoAnswer(f"{self.name} can't be used ({last})")

    def _is_ours(self, name: str, content: bytes, tag: str | None) -> bool:
        """Return whether the object has this content. Raise HeadConflict if it is neither this nor the former one."""
        found = self.bucket.get(name)
        if found is not None and found[0] == content:
            return True
        if (found[1] if found else None) != tag:
            raise HeadConflict("another head is kept than was read")
        return False

    def _read(self, origin: str) -> tuple[StoredHead, str, bytes] | None:
        found = self._read_object(self._object_of(origin))
        if found is not None and found[0].head.origin != origin:
            raise HeadsUnavailable(f"the stored head of {origin} is damaged")
        return found

    def _read_object(self, name: str) -> tuple[StoredHead, str, bytes] | None:
        with self._reported():
            found = self.bucket.get(name)
        if found is None:
            return None
        content, tag = found
        return head_text.read(content, at=name), tag, content

    def _object_of(self, origin: str) -> str:
        return self._object(f"heads/{head_text.folder_of(origin)}.json")

    def _object(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except StoreFault as error:
            kind = NoAnswer if isinstance(error, Unknown) else HeadsUnavailable
            raise kind(f"{self.name} can't be used ({error})") from error


def _at_once(call: Callable[[_A], _B], items: Sequence[_A]) -> list[_B]:
    if len(items) < 2:
        return [call(each) for each in items]
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="heads") as pool:
        return list(pool.map(call, items))
