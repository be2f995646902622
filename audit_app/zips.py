"""Writes a ZIP while it is sent, one file after the other. No file is in memory as a whole."""

from __future__ import annotations

import datetime as dt
import hashlib
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

#: The number of bytes that are collected before a piece is sent, because each piece has a cost for the server.
PIECE = 128 * 1024
#: At level 3, text of this kind shrinks to a tenth. Higher levels take twice the time for a few percent.
_LEVEL = 3
#: How many such pieces are packed at once. Each time, the thread that packs gives up Python's lock three times: for the
#: digest, for the checksum, and to compress. To get it back can take 5 ms (`sys.getswitchinterval`).
_TOGETHER = 4
#: How many of them wait to be packed.
_WAITING = 2


class ZipStream:
    """A ZIP that is written piece by piece. Send the bytes that `add` and `end` yield.

    Afterwards, `files` has the size and the SHA-256 hash of every file.
    """

    def __init__(self, at: dt.datetime) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self._pipe = _Pipe()
        self._zip = zipfile.ZipFile(self._pipe, "w")
        self._at = at.astimezone(dt.UTC).timetuple()[:6]

    def add(
        self, name: str, chunks: Iterable[bytes], *, is_packed: bool = True, is_big: bool = False
    ) -> Iterator[bytes]:
        """Yield the bytes of one file of the ZIP.

        Set `is_big` for a file that may exceed 2 GiB. Such a file needs the 64-bit format, which old tools can't read.
        """
        info = zipfile.ZipInfo(name, date_time=self._at)
        info.compress_type = zipfile.ZIP_DEFLATED if is_packed else zipfile.ZIP_STORED
        info._compresslevel = _LEVEL  # type: ignore[attr-defined]  # public from Python 3.13 on, as compress_level
        info.external_attr = 0o644 << 16
        digest, size = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=is_big) as member:

            def pack(piece: bytes) -> bytes:
                digest.update(piece)
                member.write(piece)
                return self._pipe.take() if self._pipe.size >= PIECE else b""

            # A thread packs one piece while the next ones are made. Python lets others run while it packs.
            with ThreadPoolExecutor(1, "zip") as beside:
                packing: deque[Future[bytes]] = deque()
                for piece in _pieces(chunks):
                    if len(packing) == _WAITING and (packed := packing.popleft().result()):
                        yield packed
                    size += len(piece)
                    packing.append(beside.submit(pack, piece))
                for each in packing:
                    if packed := each.result():
                        yield packed
        self.files[name] = {"sha256": digest.hexdigest(), "bytes": size}

    def end(self) -> Iterator[bytes]:
        """Yield the directory of the ZIP. Without it, no tool opens the file, so a broken transfer is detected."""
        self._zip.close()
        yield self._pipe.take()


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Join small chunks."""
    parts, size = [], 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= _TOGETHER * PIECE:
            yield b"".join(parts)
            parts, size = [], 0
    if size:
        yield b"".join(parts)


class _Pipe:
    """A file for zipfile that can't seek. zipfile then writes the size after each file (APPNOTE 4.4.4)."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts, self.size = [], 0
        return taken
