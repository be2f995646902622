"""The content of a backup before it is encrypted: a tar file with gzip, written and read as a stream.

Standard programs read it: `age -d -i KEY FILE | tar -xz`. To restore, this module reads it itself and accepts only
what it writes: plain files of limited size with known names. Nothing of an archive becomes a path on the disk.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator

from lockbox_site.backup import sealing

#: How much of a table is written as one file of the archive. A longer row is not divided.
PART = 1 << 20
#: The most bytes in one file of the archive. One row is never longer.
MOST_PART = 64 << 20
#: A stream that unpacks to more than this many times its size is a zip bomb. Rows unpack to about 8 times.
MOST_RATIO = 300
_PIECE, _BLOCK = 1 << 18, 512
_NAME = re.compile(r"[a-z0-9_]+(?:[/.][a-z0-9_]+){0,3}")
_END = bytes(2 * _BLOCK)

Member = tuple[str, bytes]


def packed(members: Iterable[Member]) -> Iterator[bytes]:
    """Yield the archive, piece by piece."""
    packer = zlib.compressobj(level=1, wbits=31)
    for name, content in members:
        if not _NAME.fullmatch(name) or len(content) > MOST_PART:
            raise ValueError(f"{name} with {len(content)} bytes does not fit into an archive")
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o600
        yield packer.compress(info.tobuf(tarfile.USTAR_FORMAT))
        for at in range(0, len(content), _PIECE):
            yield packer.compress(content[at : at + _PIECE])
        yield packer.compress(bytes(-len(content) % _BLOCK))
    yield packer.compress(_END)
    yield packer.flush()


def unpacked(pieces: Iterator[bytes]) -> Iterator[Member]:
    """Yield the files of an archive. Raise BackupRefused for anything that `packed` doesn't write."""
    stream = _Unpacker(pieces)
    while (block := stream.exactly(_BLOCK)) != _END[:_BLOCK]:
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError):
            raise sealing.damaged() from None
        if info.type != tarfile.REGTYPE or not _NAME.fullmatch(info.name) or not 0 <= info.size <= MOST_PART:
            raise sealing.damaged()
        content = stream.exactly(info.size)
        stream.exactly(-info.size % _BLOCK)
        yield info.name, content
    if stream.exactly(_BLOCK) != _END[_BLOCK:]:
        raise sealing.damaged()
    stream.require_end()


class _Unpacker:
    """Unpacks gzip, and gives exactly as many bytes as are asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._zlib = pieces, zlib.decompressobj(wbits=31)
        self._ready = bytearray()
        self._packed = self._unpacked = 0

    def exactly(self, size: int) -> bytes:
        while len(self._ready) < size:
            self._more()
        found = bytes(self._ready[:size])
        del self._ready[:size]
        return found

    def require_end(self) -> None:
        """Read to the end of the file. Raise BackupRefused if there is anything more."""
        while not self._zlib.eof:
            self._more()
        if self._ready or self._zlib.unused_data or any(self._pieces):
            raise sealing.damaged()

    def _more(self) -> None:
        if self._zlib.eof:
            raise sealing.damaged()
        piece = self._zlib.unconsumed_tail or next(self._pieces, b"")
        if not self._zlib.unconsumed_tail:
            self._packed += len(piece)
        try:
            # Without a new piece, zlib may still have unpacked bytes.
            found = self._zlib.decompress(piece, _PIECE)
        except zlib.error:
            raise sealing.damaged() from None
        if not (piece or found or self._zlib.eof):
            raise sealing.damaged()
        self._ready += found
        self._unpacked += len(found)
        if self._unpacked > (1 << 24) + MOST_RATIO * self._packed:
            raise sealing.damaged()
