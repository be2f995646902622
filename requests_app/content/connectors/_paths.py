"""Opens files and folders under a root. No name, no link and no replaced folder can lead outside the root.

Each component of a path is opened relative to the descriptor of its parent, and links are never followed. If somebody
replaces a folder by a link between a check and its use, the kernel refuses to open it.
"""

import errno
import io
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from requests_app.content.connectors.base import (
    CHUNK_BYTES,
    ByteSource,
    ConnectorError,
    ConnectorUnavailable,
    ItemNotFound,
    LinkRefused,
    OutsideResource,
    ResourceNotFound,
)

# This is also the length of the log's column for an item's name.
_MAX_PATH_BYTES = 1024
_MAX_DEPTH = 32
_COMMON = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = _COMMON | os.O_DIRECTORY
# Without O_NONBLOCK, opening a FIFO waits for a writer, which may never come.
_FILE = _COMMON | os.O_NONBLOCK | os.O_NOCTTY


def is_safe_name(name: str) -> bool:
    """Return whether a path can contain this component. It must have only one spelling, and lead to no other folder."""
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and "\\" not in name
        and not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name)
    )


def is_servable(parents: list[str], name: str) -> bool:
    """Return whether an entry of a folder can be served: the path of the folder and the name make a valid path."""
    try:
        split("/".join([*parents, name]))
    except ConnectorError:
        return False
    return True


def split(path: str) -> list[str]:
    """Return the components of a relative path.

    Raise OutsideResource unless the path is spelled exactly as it must be.
    """
    if len(path.encode("utf-8", "replace")) > _MAX_PATH_BYTES:
        raise ItemNotFound("The name is longer than any name can be.")
    names = path.split("/")
    if len(names) > _MAX_DEPTH or not all(is_safe_name(name) for name in names):
        raise OutsideResource("The name is not a plain relative path.")
    return names


@contextmanager
def resource(root: Path, locator: str) -> Iterator[int]:
    """Open the folder that a locator names under the root, and yield its descriptor.

    Raise ResourceNotFound if it is missing.
    """
    names = split(locator)
    try:
        # The operator chose the root, which can be a link. Below the root no link is allowed.
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConnectorUnavailable("The content root cannot be opened.") from error
    try:
        descriptor = _walk(descriptor, names)
    except ItemNotFound as error:
        raise ResourceNotFound("The locator names no folder.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def subdirectory(descriptor: int, names: list[str]) -> Iterator[int]:
    """Yield a descriptor of the folder that is reached from an open folder through `names`.

    `descriptor` stays open.
    """
    inner = _walk(os.dup(descriptor), names)
    try:
        yield inner
    finally:
        os.close(inner)


def _walk(descriptor: int, names: list[str]) -> int:
    """Replace a folder's descriptor by the descriptor of the folder that `names` leads to. The given one is closed."""
    for name in names:
        try:
            inner = _open_directory(descriptor, name)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _open_directory(parent: int, name: str) -> int:
    _require(parent, name, stat.S_ISDIR)
    with translated():
        return os.open(name, _DIRECTORY, dir_fd=parent)


def directories(folder: int) -> list[str]:
    """Return the names of the directories in an open folder that a locator can contain, sorted. Leave out hidden ones.

    A name with a second spelling or with control characters is left out, and so is a link.
    """
    with translated(), os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and is_safe_name(entry.name) and not entry.name.startswith(".")
        )


@contextmanager
def listed_directory(parent: int, name: str) -> Iterator[int]:
    """Open a directory whose name was just read from its open parent, and yield its descriptor."""
    with translated():
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(parent: int, name: str, *, is_from_listing: bool = False) -> tuple[io.FileIO, os.stat_result]:
    """Open a regular file in an open folder. Refuse a link, device, socket, FIFO or folder, and never wait for one.

    With `is_from_listing`, the name was just read from the folder, so its spelling is not checked again.
    """
    _require(parent, name, stat.S_ISREG, is_from_listing)
    with translated():
        file = io.FileIO(os.open(name, _FILE, dir_fd=parent), "rb")
    facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode):
        file.close()
        raise ItemNotFound("This is not a regular file.")
    return file, facts


def facts_of(parent: int, name: str) -> os.stat_result:
    """Return the stat result of an entry itself, not of a link's target. Raise LinkRefused for a link."""
    with translated():
        facts = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISLNK(facts.st_mode):
        raise LinkRefused("This is a link.")
    return facts


def has_exactly(parent: int, name: str) -> bool:
    """Return whether the folder contains a name with exactly this spelling.

    Some file systems ignore case or Unicode forms, so they also open other spellings. In the log, another spelling
    would look like another item.
    """
    with translated(), os.scandir(parent) as entries:
        return any(entry.name == name for entry in entries)


def _require(parent: int, name: str, is_wanted: Callable[[int], bool], is_from_listing: bool = False) -> None:
    # This check makes sure that a device is never opened. If the entry is replaced after the check, opening is still
    # safe.
    if not is_wanted(facts_of(parent, name).st_mode) or not (is_from_listing or has_exactly(parent, name)):
        raise ItemNotFound("Nothing of this kind has exactly this name.")


@contextmanager
def translated() -> Iterator[None]:
    """Inside the block, turn errors of the operating system into the errors of `base`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENAMETOOLONG, errno.ENXIO):
            raise ItemNotFound("Nothing has exactly this name.") from error
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise LinkRefused("There is a link where a file or folder was expected.") from error
        raise ConnectorUnavailable("The store refused access.") from error


class FileSource(ByteSource):
    """The chunks of a regular file, up to the size that it had when it was opened.

    If the file becomes shorter or is closed meanwhile, reading raises ConnectorUnavailable.
    """

    def __init__(self, file: io.FileIO, size: int) -> None:
        self._file = file
        self._size = size

    def __iter__(self) -> Iterator[bytes]:
        left = self._size
        while left:
            chunk = read_exactly_some(self._file, min(CHUNK_BYTES, left))
            left -= len(chunk)
            yield chunk

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()


def read_exactly_some(file: io.FileIO, count: int) -> bytes:
    """Read at least 1 and at most `count` bytes.

    Raise ConnectorUnavailable if the file was closed or became shorter.
    """
    try:
        chunk = file.read(count)
    except (OSError, ValueError) as error:
        raise ConnectorUnavailable("The item could not be read completely.") from error
    if not chunk:
        raise ConnectorUnavailable("The item became shorter while it was read.")
    return chunk
