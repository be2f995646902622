"""Find words that make a text hard to read, and print what to write instead.

Usage: bin/_plain_words.py [AREA...]. Without an area, read all areas. The words come from the tables of
docs/writing.md: a new row there is a new rule here.
"""

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RULES = "docs/writing.md"
AREAS = ("templates", "docs", "commits", "strings", "api", "comments", "names")
#: This commit and earlier ones are not checked. They were published before the rules, and published history does not
#: change.
RULES_SINCE = "e336bba11f49be84abc14a4d4448498dc267d742"
LONGEST_SUBJECT = 72

PRODUCT = ("audit_app", "clients/python/lockbox_cli", "lockbox_site", "requests_app", "verify")
PYTHON = (*PRODUCT, "bench", "bin", "tests")
#: Directories with other people's files, and with generated files.
NOT_OURS = {"__pycache__", "node_modules", "vendor", "lockbox_client", "migrations", "var"}

#: Names that have such a word because others rely on them: columns, parameters of the API, and their fields.
STABLE = {
    ("audit_app/models.py", "kept"),  # a column
    ("audit_app/models.py", "kept_at"),  # a column
    ("requests_app/models/proposals.py", "said"),  # a column
    ("requests_app/operations/checks.py", "kept"),  # the attribute of a column
    ("requests_app/doors/api/log_files.py", "kept"),  # a parameter of the API
    ("requests_app/doors/api/tenants.py", "log_kept_days"),  # a field of the API
    ("requests_app/doors/web/forms/evidence.py", "kept"),  # Django names it after the field
    ("requests_app/doors/web/forms/evidence.py", "clean_kept"),  # named by Django after the field
}

_SUBJECT = re.compile(r"[a-z0-9][\w ./-]*: [A-Z0-9]\S*( \S+)*")
#: Matches up to four words between the two ends of a phrase, in the same sentence.
_GAP = r"(?:[\w’'-]+\s+){1,4}?"
_CODE = re.compile(r"^```.*?^```|``[^`\n]+``|`[^`]+`", re.MULTILINE | re.DOTALL)
_ADDRESS = re.compile(r"https?://[^\s)>\"']+|(?<=\]\()[^)\s]+|[\w./-]+\.(?:html|md|py|txt)\b|[\w.+-]+@[\w.-]+")
_QUOTATION = re.compile(r"^>[^\n]*$|<!--.*?-->", re.MULTILINE | re.DOTALL)
_MARKED = re.compile(
    r"\{% trans(?:late)? (?P<tag>\"[^\"]*\"|'[^']*')"
    r"|\{% blocktrans(?:late)?\b[^%]*%\}(?P<block>.*?)\{% endblocktrans(?:late)? %\}"
    r"|\b_\((?P<argument>\"[^\"]*\"|'[^']*')\)",
    re.DOTALL,
)
_NOT_WORDS = re.compile(r"<[^>]*>|\{%.*?%\}", re.DOTALL)
_TEMPLATE_COMMENT = re.compile(r"\{% comment\b.*?%\}(.*?)\{% endcomment %\}|\{#(.*?)#\}", re.DOTALL)
_VARIABLE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_DESCRIBED = re.compile(r'"(?:description|summary|title)": ("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Offence:
    """One place with a word that must not be used."""

    file: str
    line: int
    word: str
    write: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: “{self.word}”: write {self.write}"


@dataclass(frozen=True)
class Rule:
    """One row of a table: a phrase that must not occur as whole words, and what to write in its place."""

    #: If a text does not contain this word, it needs no search.
    first_word: str
    pattern: re.Pattern[str]
    write: str

    @classmethod
    def from_row(cls, phrase: str, write: str) -> "Rule":
        halves = [r"\s+".join(re.escape(word) for word in half.split()) for half in phrase.split("…")]
        words = (r"\s+" + _GAP).join(halves)
        # With a hyphen, it is another word, as in "a no-reply address".
        return cls(phrase.split()[0].lower(), re.compile(rf"(?<![\w-]){words}(?![\w-])", re.IGNORECASE), write)


def rows_of(document: str, heading: str) -> list[tuple[str, str]]:
    """Return (phrase, what to write) for each phrase in backticks in the tables of a section."""
    _, _, section = document.partition(f"\n## {heading}\n")
    section, _, _ = section.partition("\n## ")
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [(phrase, row[1].strip()) for row in rows for phrase in re.findall(r"`([^`]+)`", row[0])]


@dataclass(frozen=True)
class Rules:
    """The rules of docs/writing.md: for all texts, for commit subjects, and for names."""

    phrases: tuple[Rule, ...]
    subjects: tuple[Rule, ...]
    names: dict[str, str]

    @classmethod
    def from_document(cls, document: str) -> "Rules":
        def rules(heading: str) -> tuple[Rule, ...]:
            return tuple(Rule.from_row(*row) for row in rows_of(document, heading))

        names = dict(rows_of(document, "Names in the code"))
        found = cls(rules("Words not to be used"), rules("Commit subjects"), names)
        if not (found.phrases and found.subjects and found.names):
            raise SystemExit(f"{RULES} lacks a table of words.")
        return found

    def offences(self, text: str, file: str, first_line: int = 1, rules: Iterable[Rule] = ()) -> Iterator[Offence]:
        """Yield each place where a phrase occurs in a text.

        Case does not matter, and a phrase can continue on the next line.
        """
        lower_case = text.lower()
        for rule in (*self.phrases, *rules):
            if rule.first_word not in lower_case:
                continue
            for match in rule.pattern.finditer(text):
                line = first_line + text.count("\n", 0, match.start())
                yield Offence(file, line, " ".join(match.group().split()), rule.write)


def _blank(match: re.Match[str]) -> str:
    """Return spaces in place of a match, but keep its line breaks, so that all other text stays on its line."""
    return re.sub(r"[^\n]", " ", match.group())


def text_of_template(source: str) -> str:
    """Return those words of a template that are marked for translation. Everything else is replaced by spaces."""
    source = _TEMPLATE_COMMENT.sub(_blank, source)
    text, at = [], 0
    for marked in _MARKED.finditer(source):
        kind = marked.lastgroup or "block"
        start, end = marked.span(kind)
        # A full stop between two texts, so that no phrase is found across them.
        text += [re.sub(r"[^\n]", " ", source[at : max(start - 1, at)]), ".", source[start:end]]
        at = end
    text.append(re.sub(r"[^\n]", " ", source[at:]))
    shown = _NOT_WORDS.sub(_blank, "".join(text))
    return _ADDRESS.sub(_blank, _VARIABLE.sub(lambda variable: re.sub(r"[^\n]", "¤", variable.group()), shown))


def text_of_markdown(source: str) -> str:
    """Return a document's words. Code, addresses and quotations are replaced by spaces."""
    for skipped in (_CODE, _QUOTATION, _ADDRESS):
        source = skipped.sub(_blank, source)
    return source


@dataclass(frozen=True)
class Parsed:
    """What a Python file contains: pairs of a line and a text or a name."""

    strings: list[tuple[int, str]]
    documentation: list[tuple[int, str]]
    names: list[tuple[int, str]]


def _nodes_of(source: str) -> list[ast.AST]:
    """Return the nodes in the order of `ast.walk`, but without operators and contexts, which contain no word."""
    nodes: list[ast.AST] = [ast.parse(source)]
    # The loop also visits what it appends.
    for node in nodes:
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                nodes += [part for part in value if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST) and name not in ("ctx", "op"):
                nodes.append(value)
    return nodes


@cache
def parsed(source: str) -> Parsed:
    """Parse a Python file. Three areas need this, and parsing takes longer than all the rest."""
    nodes = _nodes_of(source)
    skipped = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    found = Parsed([], [], [])
    for node in nodes:
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                found.documentation.append((node.lineno, node.value.value))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.names.append((node.lineno, node.name))
        elif isinstance(node, ast.arg):
            found.names.append((node.lineno, node.arg))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.names.append((node.lineno, node.id))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.names.append((node.lineno, node.attr))
        elif id(node) in skipped:
            continue
        elif isinstance(node, ast.JoinedStr):
            pieces = [part.value if isinstance(part, ast.Constant) else "¤" for part in node.values]
            found.strings.append((node.lineno, "".join(str(piece) for piece in pieces)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.strings.append((node.lineno, node.value))
    return found


def strings_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each string with at least two words in a Python file. Docstrings are left out."""
    for line, text in parsed(source).strings:
        if " " in text.strip():
            yield line, text


def comments_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each docstring and of each block of comments."""
    yield from parsed(source).documentation
    block: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line = token.start[0]
            if block and line != last + 1:
                yield first, "\n".join(block)
                block = []
            first = first if block else line
            block.append(token.string.lstrip("#:"))
            last = line
    if block:
        yield first, "\n".join(block)


def names_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each function, class, argument, variable and attribute that a Python file defines."""
    yield from parsed(source).names


def words_of(name: str) -> list[str]:
    """Return the words of a name. An allowed "own", which has a noun after it ("own_server"), is left out."""
    words = name.strip("_").lower().split("_")
    return [
        word
        for word, after in zip(words, [*words[1:], ""], strict=True)
        if word != "own" or not after or words == ["is", "own"]
    ]


class Tree:
    """The files of a source tree. For each area, a method with the same name yields what breaks a rule there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def offences(self, area: str) -> Iterator[Offence]:
        rules = Rules.from_document((self.root / RULES).read_text("utf-8"))
        yield from getattr(self, area)(rules)

    def files(self, *places: str, ending: str) -> Iterator[tuple[str, str]]:
        """Yield the path and text of the project's own files in these places whose names end with `ending`."""
        for place in places:
            for path in sorted((self.root / place).rglob(f"*{ending}")):
                name = path.relative_to(self.root)
                if path.is_file() and not NOT_OURS & set(name.parts):
                    yield name.as_posix(), path.read_text("utf-8")

    def templates(self, rules: Rules) -> Iterator[Offence]:
        for ending in (".html", ".txt"):
            for name, source in self.files("templates", ending=ending):
                yield from rules.offences(text_of_template(source), name)

    def docs(self, rules: Rules) -> Iterator[Offence]:
        top = [(path.name, path.read_text("utf-8")) for path in sorted(self.root.glob("*.md"))]
        below = self.files("docs", "templates", "clients", "deploy", "verify", "bench", ending=".md")
        for name, source in [*top, *below]:
            if name != RULES:
                yield from rules.offences(text_of_markdown(source), name)

    def strings(self, rules: Rules) -> Iterator[Offence]:
        for name, source in self.files(*PRODUCT, ending=".py"):
            for line, text in strings_of(source):
                yield from rules.offences(_ADDRESS.sub(_blank, text), name, line)

    def api(self, rules: Rules) -> Iterator[Offence]:
        for number, line in enumerate((self.root / "docs/openapi.json").read_text("utf-8").splitlines(), 1):
            for described in _DESCRIBED.findall(line):
                text = text_of_markdown(json.loads(described))
                yield from rules.offences(" ".join(text.split()), "docs/openapi.json", number)

    def comments(self, rules: Rules) -> Iterator[Offence]:
        for name, source in self.files(*PYTHON, ending=".py"):
            for line, text in comments_of(source):
                yield from rules.offences(text_of_markdown(text), name, line)
        for name, source in self.files("templates", ending=".html"):
            for match in _TEMPLATE_COMMENT.finditer(source):
                yield from rules.offences(match.group(), name, 1 + source.count("\n", 0, match.start()))

    def names(self, rules: Rules) -> Iterator[Offence]:
        for name, source in self.files(*PYTHON, ending=".py"):
            for line, given in names_of(source):
                for word in set(words_of(given)) & set(rules.names):
                    if (name, given) not in STABLE:
                        yield Offence(name, line, given, rules.names[word])

    def commits(self, rules: Rules) -> Iterator[Offence]:
        for commit, subject in subjects_since(self.root, RULES_SINCE):
            yield from judge_subject(rules, commit, subject)


def judge_subject(rules: Rules, commit: str, subject: str) -> Iterator[Offence]:
    """Yield what is wrong with the subject of a commit."""
    where = f"commit {commit}"
    if len(subject) > LONGEST_SUBJECT:
        yield Offence(where, 1, subject, f"a subject of at most {LONGEST_SUBJECT} characters, not {len(subject)}")
    if not _SUBJECT.fullmatch(subject) or subject.endswith("."):
        yield Offence(where, 1, subject, "`area: Imperative sentence`, without a full stop at the end")
    yield from rules.offences(subject, where, rules=rules.subjects)


def git(root: Path, *arguments: str) -> str | None:
    """Return the output of git, or None if git fails or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def why_history_is_missing(root: Path, base: str) -> str:
    """Return why the commits after `base` can't be read, or an empty text if they can.

    End the program if the history is complete and does not contain `base`.
    """
    # In a directory inside another repository, the prefix is not empty.
    if git(root, "rev-parse", "--show-prefix") != "":
        return "There is no git repository here."
    if git(root, "merge-base", "--is-ancestor", base, "HEAD") is not None:
        return ""
    if git(root, "rev-parse", "--is-shallow-repository") == "true":
        return "This clone is shallow. `git fetch --unshallow` gets the history."
    raise SystemExit(
        f"Commit {base} is not in this history. Set RULES_SINCE in bin/_plain_words.py to the last commit that the"
        " rules do not apply to."
    )


def subjects_since(root: Path, base: str) -> list[tuple[str, str]]:
    """Return the id and subject of each commit after `base`.

    If the history can't be read, print why and return nothing.
    """
    if reason := why_history_is_missing(root, base):
        print(f"Commit subjects were not read. {reason}", file=sys.stderr)
        return []
    listed = git(root, "log", "--no-merges", "--format=%h\t%s", f"{base}..HEAD") or ""
    return [(commit, subject) for commit, _, subject in (line.partition("\t") for line in listed.splitlines())]


def main(areas: list[str], root: Path) -> int:
    unknown = [area for area in areas if area not in AREAS]
    if unknown:
        print(f"There is no area {', '.join(unknown)}. The areas: {', '.join(AREAS)}.", file=sys.stderr)
        return 2
    tree = Tree(root)
    found = 0
    for area in areas or AREAS:
        for offence in tree.offences(area):
            found += 1
            print(offence)
    if found:
        print(f"{found} places to correct. {RULES} has the rules.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).resolve().parents[1]))
