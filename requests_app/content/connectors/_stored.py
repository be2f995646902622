"""Opens a stored mail, and decompresses it if it is compressed.

Dovecot's zlib plugin compresses mails without changing the names of their files.
"""

import io
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from requests_app.content.connectors import _paths
from requests_app.content.connectors.base import CHUNK_BYTES, ItemTooLarge, ItemUnreadable, Limits

_GZIP: Final = b"\x1f\x8b\x08"
#: The first two bytes of a zlib stream with the usual window size, for its four levels (RFC 1950, section 2.2).
_ZLIB: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
#: The first bytes of Zstandard, LZ4, xz and bzip2. This module can't read these formats.
_FOREIGN: Final = (b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\xfd7zXZ\x00", b"BZh91AY")
#: zlib's value of `wbits` for "gzip or zlib, by the first bytes".
_EITHER: Final = 47
_SIZE = re.compile(r",S=(\d{1,12})(?=[,:]|\Z)")


@dataclass(frozen=True, slots=True)
class Facts:
    """The properties of a stored mail: its uncompressed size, and when its file was changed."""

    st_size: int
    st_mtime: float


def plain(file: io.FileIO, facts: os.stat_result, name: str, limits: Limits, *, whole: bool) -> tuple[io.FileIO, Facts]:
    """Return the uncompressed mail, readable from any position, and its facts.

    A compressed mail is written to a temporary file without a name, which is deleted when it is closed; `file` is then
    closed. Without `whole`, the temporary file has at most `limits.header_bytes`, and the size comes from the stored
    file's name or from its last bytes. Raise ItemTooLarge if the mail is larger than the limit, and ItemUnreadable if
    it can't be decompressed.
    """
    magic = file.read(8)
    file.seek(0)
    if not _is_compressed(file, magic):
        return file, Facts(facts.st_size, facts.st_mtime)
    if facts.st_size > limits.item_bytes:
        # A long stream can decompress to nothing, so the compressed size is limited too.
        raise ItemTooLarge("The message is larger than the limit.")
    try:
        most = limits.item_bytes if whole else limits.header_bytes
        found, size, is_all = _decompressed(file, most, cut=not whole)
        if not is_all:
            size = max(size, _stated_size(file, magic, name))
    finally:
        file.close()
    return found, Facts(size, facts.st_mtime)


def _is_compressed(file: io.FileIO, magic: bytes) -> bool:
    if magic.startswith(_FOREIGN):
        raise ItemUnreadable("This message is compressed in a way that can't be read here.")
    if magic.startswith(_GZIP):
        return True
    if not magic.startswith(_ZLIB):
        return False
    # A plain mail may begin with these two bytes too. It is then not a zlib stream.
    try:
        zlib.decompressobj().decompress(file.read(CHUNK_BYTES), 1)
    except zlib.error:
        return False
    finally:
        file.seek(0)
    return True


def _decompressed(file: io.FileIO, most: int, *, cut: bool) -> tuple[io.FileIO, int, bool]:
    """Decompress the mail into a temporary file. Return the file, its size, and whether it has the whole mail.

    With `cut`, stop after `most` bytes. Without `cut`, raise ItemTooLarge for a longer mail.
    """
    target = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  the caller reads and closes it
    size = 0
    try:
        for block in _blocks(file):
            size += len(block)
            if size > most and not cut:
                raise ItemTooLarge("The message is larger than the limit.")
            target.write(block)
            if size >= most and cut:
                break
        else:
            return _rewound(target), size, True
        return _rewound(target), size, False
    except BaseException:
        target.close()
        raise


def _rewound(target: io.FileIO) -> io.FileIO:
    target.seek(0)
    return target


def _blocks(file: io.FileIO) -> Iterator[bytes]:
    """Decompress the mail in blocks of at most CHUNK_BYTES.

    So a few bytes that decompress to many use little memory.
    """
    stream, data = zlib.decompressobj(_EITHER), file.read(CHUNK_BYTES)
    while True:
        try:
            block = stream.decompress(data, CHUNK_BYTES)
        except zlib.error as error:
            raise ItemUnreadable("This message was compressed and is damaged.") from error
        if block:
            yield block
        if stream.eof:
            # A gzip file can contain several streams, one after the other. Other bytes that follow are not part of the
            # mail.
            data = stream.unused_data or file.read(CHUNK_BYTES)
            if not data.startswith(_GZIP):
                return
            stream = zlib.decompressobj(_EITHER)
            continue
        data = stream.unconsumed_tail or file.read(CHUNK_BYTES)
        if not data and not block:
            raise ItemUnreadable("This message was compressed and ends too early.")


def _stated_size(file: io.FileIO, magic: bytes, name: str) -> int:
    """Return the uncompressed size, from the file's name (`,S=`) or the end of a gzip file. Return 0 without either."""
    if stated := _SIZE.search(name):
        return int(stated[1])
    if not magic.startswith(_GZIP):
        return 0
    file.seek(-4, io.SEEK_END)
    return int.from_bytes(_paths.read_exactly_some(file, 4), "little")
