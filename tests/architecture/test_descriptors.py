"""No module of the product copies or closes a file descriptor that SQLite may own, or opens SQLite's files itself.

If a process closes any descriptor of a file, POSIX drops all `fcntl` locks of this process on the file. SQLite depends
on these locks. If a process closes a copy of SQLite's descriptor, or opens and closes SQLite's file, two processes
could write at the same time and corrupt the database.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from tests.sources import modules, name_of, nodes_in, nodes_of

#: Functions that copy or close a descriptor by its number, or list the descriptors of the process.
NUMBERS = {
    "os.dup", "os.dup2", "os.close", "os.closerange", "os.fork", "os.forkpty", "pty.fork", "socket.fromfd",
    "socket.dup", "fcntl.fcntl", "fdopen",
}  # fmt: skip
#: With a default timeout, Python changes each socket that is made from a number.
NUMBERS |= {"socket.setdefaulttimeout"}
LISTS = ("/dev/fd", "/proc/self/fd", "/proc/thread-self/fd", "/dev/stdin")
#: Each exception, with the reason why it can't affect a descriptor of SQLite.
ALLOWED = {
    "requests_app/platform/sockets.py": {"/dev/fd": "reads the numbers, and neither copies nor closes any of them"},
    "requests_app/platform/chime.py": {"os.close": "closes named pipes that it opened itself"},
    "requests_app/platform/forks.py": {
        "os.fork": "only while this process has no connection to a database (may_fork)",
        "os.close": "closes the ends of pipes that it opened itself",
    },
    "requests_app/work/forking.py": {
        "os.fork": "in a process that has never had a connection to a database, or had closed it before (may_fork)",
        "os.close": "closes pipes that it opened itself, or was given for a part's output",
        "os.dup2": "replaces standard input and output, and SQLite refuses numbers below 3",
    },
    "requests_app/work/processes.py": {
        "os.close": "closes the ends of pipes that it opened itself",
        "os.fdopen": "of a pipe that it opened itself",
    },
    "requests_app/work/undertaker.py": {"os.close": "closes the ends of pipes that it opened itself"},
    "lockbox_site/parts.py": {"closefd": "reads the standard input, and SQLite refuses numbers below 3"},
    "requests_app/content/connectors/_paths.py": {
        "os.dup": "copies a directory that it opened itself, and a directory is no database",
        "os.close": "closes directories that it opened itself",
    },
    "requests_app/management/_pull.py": {"os.dup2": "closes the standard output, and SQLite refuses numbers below 3"},
    "requests_app/management/commands/evidence.py": {"os.fdopen": "of a file that it has just made (O_EXCL)"},
    "lockbox_site/demo/people.py": {"os.fdopen": "of a file that it has just made (O_EXCL)"},
    "lockbox_site/installing/answers.py": {"os.close": "closes a directory that it opened itself"},
    "lockbox_site/environment.py": {"os.fdopen": "of a file that it has just made (O_EXCL)"},
    "audit_app/head_directory.py": {
        "os.fdopen": "of a file of the heads that it opened itself, in a directory where no database is",
    },
    "lockbox_site/backup/making.py": {
        "os.fdopen": "of a file that it has just made (O_EXCL)",
        "os.close": "closes a directory that it opened itself",
    },
    "audit_app/second_process.py": {"fcntl.fcntl": "sets the size of a pipe that it opened itself"},
    "audit_app/durable.py": {"os.close": "closes what it opened itself: see `sync` below"},
    "lockbox_site/backup/loading.py": {"os.close": "of a file that SQLite has not opened yet"},
    "audit_app/keys.py": {"os.fdopen": "of a file that it has just made (O_EXCL)"},
}

#: Code that contains one of these names knows the path of an SQLite file.
PLACES = ("DATABASES", "settings_dict", "LOG_HEADS_FILE", ".sqlite3")
OPENERS = {
    "open", "read_bytes", "read_text", "write_bytes", "write_text", "touch", "copy", "copy2", "copyfile", "copytree",
    "copyfileobj", "move", "FileIO", "sendfile", "FileResponse", "hardlink_to", "sync",
}  # fmt: skip
#: Modules that know such a path and also open files, with the reason why these are other files.
OPENS_OTHERS = {
    "requests_app/platform/database/alone.py": "opens a lock file beside, which is no database",
    "lockbox_site/doctor/of_machine.py": "reads settings, the code and /proc; of the database it reads the permissions",
    "audit_app/heads.py": "opens the lock file beside, which is no database",
    "lockbox_site/backup/loading.py": "makes the empty file before SQLite opens it, and syncs it after the last close",
    "lockbox_site/backup/restoring.py": "opens files with keys",
    "lockbox_site/backup/fitting.py": "reads files with secrets; of the database it has only the setting",
    "lockbox_site/backup/tables.py": "calls COPY of PostgreSQL, which is no file",
    "lockbox_site/management/commands/backup.py": "touches a heartbeat, which is a row",
    "lockbox_site/demo/proof.py": "names the state of a witness's own process, and opens a bundle",
}


Nodes = Sequence[ast.AST]


def _calls(nodes: Nodes) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def _imported(nodes: Nodes) -> Iterator[str]:
    """Yield the names that an import makes callable without the module's name, as in `from os import dup`."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _texts(nodes: Nodes) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def uses_of_numbers(nodes: Nodes) -> set[str]:
    """Return calls that copy or close a descriptor by its number, and paths of directories that list descriptors."""
    found = {
        name
        for name in (*_calls(nodes), *_imported(nodes))
        if name in NUMBERS or name.rpartition(".")[2] in ("fdopen", "dup")
    }
    found |= {place for text in _texts(nodes) for place in LISTS if text.startswith(place)}
    if any(isinstance(node, ast.keyword) and node.arg == "closefd" for node in nodes):
        found.add("closefd")
    return found


def opens_beside_a_place(nodes: Nodes) -> bool:
    """Return whether a module knows the path of an SQLite file and also opens or copies files."""
    named = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    named |= {node.id for node in nodes if isinstance(node, ast.Name)}
    texts = [*_texts(nodes)]
    knows = any(place in named or any(text.endswith(place) for text in texts) for place in PLACES)
    return knows and any(name.rpartition(".")[2] in OPENERS for name in _calls(nodes))


def test_no_descriptor_of_sqlites_is_copied_or_closed() -> None:
    found = {name_of(path): uses for path in modules() if (uses := uses_of_numbers(nodes_of(path)))}
    assert found == {path: set(why) for path, why in ALLOWED.items()}


def test_no_module_opens_a_file_of_sqlites() -> None:
    assert {name_of(path) for path in modules() if opens_beside_a_place(nodes_of(path))} == set(OPENS_OTHERS)


def test_each_use_of_a_number_is_found() -> None:
    uses = [
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
    ]
    assert [code for code in uses if not uses_of_numbers(nodes_in(code))] == []


def test_each_way_to_open_a_file_of_sqlites_is_found() -> None:
    ways = [
        "Path(connection.settings_dict['NAME']).read_bytes()",
        "shutil.copy(settings.DATABASES['default']['NAME'], target)",
        "with open(settings.LOG_HEADS_FILE, 'rb') as file: pass",
        "(DATA_DIR / 'lockbox.sqlite3').open()",
    ]
    assert [code for code in ways if not opens_beside_a_place(nodes_in(code))] == []
