"""No code of the product copies or closes a descriptor that may be SQLite's, or opens SQLite's files itself.

POSIX drops every `fcntl` lock that a process holds on a file as soon as the process closes any descriptor of that file.
SQLite's locks are of that kind. A process that uses the database and closes a copy of its descriptor, or opens the file
and closes it again, lets a second writer in, and the database is corrupted.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: What copies or closes a descriptor by its number, or lists those of the process.
NUMBERS = {
    "os.dup", "os.dup2", "os.close", "os.closerange", "os.fork", "os.forkpty", "pty.fork", "socket.fromfd",
    "socket.dup", "fcntl.fcntl", "fdopen",
}  # fmt: skip
#: With a default timeout Python changes each socket that is made from a number.
NUMBERS |= {"socket.setdefaulttimeout"}
LISTS = ("/dev/fd", "/proc/self/fd", "/proc/thread-self/fd", "/dev/stdin")
#: Each exception, with the reason why no descriptor of SQLite's can be meant.
ALLOWED = {
    "requests_app/sockets.py": {"/dev/fd": "reads the numbers, and neither copies nor closes any of them"},
    "requests_app/connectors/_paths.py": {
        "os.dup": "copies a directory that it opened itself, and a directory is no database",
        "os.close": "closes directories that it opened itself",
    },
    "requests_app/management/_pull.py": {"os.dup2": "closes the standard output, and SQLite refuses numbers below 3"},
    "requests_app/management/commands/evidence.py": {"os.fdopen": "of a file that it has just made (O_EXCL)"},
    "requests_app/demo/people.py": {"os.fdopen": "of a file that it has just made (O_EXCL)"},
    "lockbox_site/environment.py": {"os.fdopen": "of a file that it has just made (O_EXCL)"},
    "audit_app/keys.py": {"os.fdopen": "of a file that it has just made (O_EXCL)"},
}

#: How code comes to know where a file of SQLite's lies.
PLACES = ("DATABASES", "settings_dict", "LOG_HEADS_FILE", ".sqlite3")
OPENERS = {
    "open", "read_bytes", "read_text", "write_bytes", "write_text", "touch", "copy", "copy2", "copyfile", "copytree",
    "copyfileobj", "move", "FileIO", "sendfile", "FileResponse", "hardlink_to",
}  # fmt: skip
#: Modules that know the place and open files: which files those are.
OPENS_OTHERS = {
    "audit_app/heads.py": "opens the lock file beside, which is no database",
    "requests_app/demo/proof.py": "names the state of a witness's own process, and opens a bundle",
}


def _sources() -> Iterator[tuple[str, str]]:
    for package in ("requests_app", "audit_app", "lockbox_site"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()


def _calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def _imported(tree: ast.AST) -> Iterator[str]:
    """What `from os import dup` makes callable by its bare name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


def uses_of_numbers(source: str) -> set[str]:
    """The calls that copy or close a descriptor by its number, and the directories that list a process's own."""
    tree = ast.parse(source)
    found = {
        name
        for name in (*_calls(tree), *_imported(tree))
        if name in NUMBERS or name.rpartition(".")[2] in ("fdopen", "dup")
    }
    found |= {
        place
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for place in LISTS
        if node.value.startswith(place)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "closefd":
            found.add("closefd")
    return found


def opens_beside_a_place(source: str) -> bool:
    """Whether the module knows where a file of SQLite's lies, and opens or copies files."""
    tree = ast.parse(source)
    named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    named |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    knows = any(place in named or any(text.endswith(place) for text in texts) for place in PLACES)
    return knows and any(name.rpartition(".")[2] in OPENERS for name in _calls(tree))


def test_no_descriptor_of_sqlites_is_copied_or_closed() -> None:
    found = {path: uses_of_numbers(source) for path, source in _sources()}
    assert {path: uses for path, uses in found.items() if uses} == {path: set(why) for path, why in ALLOWED.items()}


def test_no_module_opens_a_file_of_sqlites() -> None:
    assert {path for path, source in _sources() if opens_beside_a_place(source)} == set(OPENS_OTHERS)


@pytest.mark.parametrize(
    "code",
    [
        "os.dup(3)",
        "os.close(3)",
        "os.closerange(3, 9)",
        "os.dup2(1, 2)",
        "from os import dup",
        "connection.dup()",
        "socket.fromfd(3, 1, 1)",
        "socket.setdefaulttimeout(5)",
        "os.listdir('/proc/self/fd')",
        "Path('/dev/fd/3').open()",
        "open(3, closefd=True)",
        "os.fork()",
    ],
)
def test_the_rule_about_numbers_bites(code: str) -> None:
    assert uses_of_numbers(code)


@pytest.mark.parametrize(
    "code",
    [
        "Path(connection.settings_dict['NAME']).read_bytes()",
        "shutil.copy(settings.DATABASES['default']['NAME'], target)",
        "with open(settings.LOG_HEADS_FILE, 'rb') as file: pass",
        "(DATA_DIR / 'lockbox.sqlite3').open()",
    ],
)
def test_the_rule_about_files_bites(code: str) -> None:
    assert opens_beside_a_place(code)
