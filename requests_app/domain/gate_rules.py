"""The rules of a gate: which requests to a web tool an open window allows. Pure.

Staff write the rules in a text. Each line has an action, methods and a pattern of paths, and can end with options:
"view GET /tenants/{resource}/** query=page,sort". The first line that matches decides. A path is judged as the tool
will see it: a path that two programs could read differently is refused, and never made simpler. A query is refused
unless the rule lists its parameters, because a parameter can select other content than the path.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote_plus, unquote_to_bytes

from django.utils.functional import Promise
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from requests_app.domain.errors import Unacceptable
from requests_app.domain.levels import NEEDED, Action, covers

#: The longest text, the most lines, and the longest path. An entry of the log has the whole path with its method.
TEXT_MAX, LINES_MAX, PATH_MAX = 4000, 50, 1000
#: The methods that a rule can name. HEAD counts as GET. All others are refused by every gate.
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PLACEHOLDERS = ("resource", "tenant")
RESOURCE, TENANT, ONE, REST = *(f"{{{name}}}" for name in PLACEHOLDERS), "*", "**"
STREAM, UPGRADE = "stream", "upgrade"
#: The type of a stream of events.
STREAM_TYPE = "text/event-stream"
#: The option of a rule whose paths name no resource: they hold nothing of a customer.
SHARED = "shared"
#: The option that lists the parameters of a query, and what it lists if there can be any.
QUERY, ANY = "query=", "*"
#: With these headers, some frameworks do another method, or open another path, than the request line says.
OVERRIDES = frozenset(
    {
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    }
)
#: With one of these headers, a request wants another protocol on its connection, such as a WebSocket.
_UPGRADES = ("upgrade", "sec-websocket-key", "sec-websocket-version", "http2-settings", "x-original-upgrade")
_FIELD = "gate_rules"
#: RFC 3986, without ";": some servers cut a part of a path there.
_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,=:@/]|%[0-9A-Fa-f]{2})*")
_QUERY = re.compile(r"[\x21\x22\x24-\x7e]*")
#: A server that reads one of these in its encoded form sees another path. The unreserved characters are here because a
#: proxy may decode them.
_NEVER_ENCODED = frozenset(b"/\\%;.-_~ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_LITERAL = re.compile(r"[A-Za-z0-9\-._~!$&'()+,=:@]+")
#: A program that reads "_" or "." as "-" sees another header.
_HEADER = re.compile(r"[a-z0-9-]+")
_PARAMETER = re.compile(r"[A-Za-z0-9\-._~\[\]]{1,60}")
#: The most parameters that the log names.
_NAMED = 20
#: What other letters can become in a program that simplifies letters (Unicode, form NFKC).
_SEPARATORS = frozenset("/\\.;%")


class Reason(StrEnum):
    """Why a gate refuses a request, before it asks for a window. Entries have these words, so they never change."""

    AMBIGUOUS_PATH = "ambiguous_path"
    AMBIGUOUS_HEADER = "ambiguous_header"
    METHOD_OVERRIDE = "method_override"
    UNKNOWN_METHOD = "unknown_method"
    NO_RULE = "no_rule"
    OTHER_TENANT = "other_tenant"
    QUERY_REFUSED = "query_refused"
    STREAM_REFUSED = "stream_refused"
    UPGRADE_REFUSED = "upgrade_refused"


#: What people read about these reasons.
WORDS: dict[str, Promise] = {
    Reason.AMBIGUOUS_PATH: _("Two programs could read this address differently."),
    Reason.AMBIGUOUS_HEADER: _("Two programs could read the name of a header differently."),
    Reason.METHOD_OVERRIDE: _("The request names a second method or a second address."),
    Reason.UNKNOWN_METHOD: _("The gate knows no such method."),
    Reason.NO_RULE: _("No rule of the gate allows this."),
    Reason.OTHER_TENANT: _("The address belongs to another customer."),
    Reason.QUERY_REFUSED: _("No rule of the gate allows these parameters in the address."),
    Reason.STREAM_REFUSED: _("No rule of the gate allows a stream here."),
    Reason.UPGRADE_REFUSED: _("No rule of the gate allows a WebSocket here."),
}


class Refused(Exception):
    """The gate refuses the request, and no window changes this."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Rule:
    """One line of the rules. `parts` are the parts of the pattern between the slashes."""

    action: str
    methods: tuple[str, ...]
    parts: tuple[str, ...]
    options: tuple[str, ...] = ()

    @property
    def parameters(self) -> frozenset[str]:
        """The names of the parameters that a query can have."""
        listed = [option.removeprefix(QUERY) for option in self.options if option.startswith(QUERY)]
        return frozenset(",".join(listed).split(",")) - {""}

    @property
    def line(self) -> str:
        return " ".join((self.action, ",".join(self.methods), "/" + "/".join(self.parts), *self.options))


@dataclass(frozen=True)
class Asked:
    """A request to the tool as the tool will see it. `parts`, and the names in the query, are decoded once."""

    method: str
    path: str
    parts: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    is_stream: bool = False
    is_upgrade: bool = False

    @property
    def item(self) -> str:
        """The name of the request in the log. Of the query it has only names, because a value can be content."""
        plain = [name if _PARAMETER.fullmatch(name) else "…" for name in dict.fromkeys(self.parameters)]
        shown = [*plain[:_NAMED], "…"] if len(plain) > _NAMED else plain
        return f"{self.method} {self.path}" + ("?" + "&".join(shown) if shown else "")


@dataclass(frozen=True)
class Match:
    """The rule that a request matches, with the texts that the path has in place of the placeholders."""

    rule: Rule
    resource: str | None
    tenant: str | None
    #: Whether the tool may answer with a stream of events, also if the request did not ask for one.
    allows_stream: bool = False


def asked(method: str, target: str, headers: Mapping[str, str]) -> Asked:
    """Return the request with this method and this raw target. Raise Refused if it is not clear what the tool will do.

    `headers` has the names in small letters.
    """
    if method not in (*METHODS, "HEAD"):
        raise Refused(Reason.UNKNOWN_METHOD)
    path, mark, query = target.partition("?")
    if _PATH.fullmatch(path) is None or len(path) > PATH_MAX or _QUERY.fullmatch(query) is None:
        raise Refused(Reason.AMBIGUOUS_PATH)
    parts = _parts(path)
    if not all(map(_HEADER.fullmatch, headers)):
        raise Refused(Reason.AMBIGUOUS_HEADER)
    # Some frameworks do the method that the parameter "_method" names.
    if not OVERRIDES.isdisjoint(headers) or (mark and "_method" in _names(query)):
        raise Refused(Reason.METHOD_OVERRIDE)
    connection = headers.get("connection", "").lower()
    return Asked(
        method=method,
        path=path,
        parts=parts,
        parameters=tuple(unquote_plus(pair.partition("=")[0]) for pair in _pairs(query) if pair),
        is_stream=STREAM_TYPE in headers.get("accept", "").lower(),
        is_upgrade="upgrade" in connection or any(headers.get(name) for name in _UPGRADES),
    )


def match(rules: Iterable[Rule], request: Asked, *, opens: bool = True) -> Match:
    """Return the first rule that matches.

    Raise Refused if no rule matches, or if it refuses the query, a stream or an upgrade. With `opens=False`, no rule
    allows streams and upgrades.
    """
    method = "GET" if request.method == "HEAD" else request.method
    for rule in rules:
        if method not in rule.methods or (found := _match(rule, request.parts)) is None:
            continue
        if ANY not in rule.parameters and not rule.parameters.issuperset(request.parameters):
            raise Refused(Reason.QUERY_REFUSED)
        options = rule.options if opens else ()
        if request.is_stream and STREAM not in options:
            raise Refused(Reason.STREAM_REFUSED)
        if request.is_upgrade and UPGRADE not in options:
            raise Refused(Reason.UPGRADE_REFUSED)
        return Match(rule, found.resource, found.tenant, allows_stream=STREAM in options)
    raise Refused(Reason.NO_RULE)


@lru_cache(maxsize=128)
def rules_in(text: str) -> tuple[Rule, ...]:
    """Return the rules in a text that was checked when it was stored. Each request to a web tool needs them."""
    return tuple(_rule(line.split()) for line in text.splitlines() if line.strip())


def unreachable(text: str, levels: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules that no window allows, because the service has no level that covers them."""
    known = tuple(levels)
    return tuple(rule for rule in rules_in(text) if not any(covers(level, NEEDED[rule.action]) for level in known))


def declared(text: str) -> str:
    """Return the text to store. Raise Unacceptable with the number of the first line that is no rule."""
    found = []
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if len(text) > TEXT_MAX or len(lines) > LINES_MAX:
        words = _now("There can be at most %(lines)d rules, with %(max)d characters together.")
        raise Unacceptable(words % {"lines": LINES_MAX, "max": TEXT_MAX}, field=_FIELD)
    for number, line in lines:
        if (why := _fault(line.split())) is not None:
            raise Unacceptable(_now("Line %(n)d: %(why)s") % {"n": number, "why": why}, field=_FIELD)
        found.append(_rule(line.split()).line)
    return "\n".join(found)


def _rule(words: list[str]) -> Rule:
    action, methods, pattern, *options = words
    named = {"GET" if name == "HEAD" else name for name in methods.split(",")}
    return Rule(action, tuple(name for name in METHODS if name in named), tuple(pattern[1:].split("/")), tuple(options))


def _fault(words: list[str]) -> str | None:
    """Return what is wrong with a line, or None."""
    if len(words) < 3:
        return _now("Write an action, the methods and a path: view GET /tenants/{resource}/**")
    action, methods, pattern, *options = words
    if action not in list(Action):
        known = ", ".join(Action)
        return _now("There is no action “%(name)s”. The actions are: %(known)s.") % {
            "name": action[:60],
            "known": known,
        }
    for name in methods.split(","):
        if name not in (*METHODS, "HEAD"):
            known = ", ".join(METHODS)
            return _now("There is no method “%(name)s”. The methods are: %(known)s.") % {
                "name": name[:60],
                "known": known,
            }
    return _fault_of_options(options) or _fault_of(pattern) or _fault_of_sharing(pattern, options)


def _fault_of_options(options: list[str]) -> str | None:
    names = [QUERY if option.startswith(QUERY) else option for option in options]
    if len(set(names)) < len(names) or not set(names) <= {STREAM, UPGRADE, SHARED, QUERY}:
        return _now("After the path there can only be “shared”, “query=…”, “stream” and “upgrade”.")
    for option in options:
        listed = option.removeprefix(QUERY)
        if option != listed and listed != ANY and not all(map(_PARAMETER.fullmatch, listed.split(","))):
            return _now("Write the names of the parameters with commas between them, or “*” for all: query=page,sort")
    return None


def _fault_of_sharing(pattern: str, options: list[str]) -> str | None:
    has_resource = RESOURCE in pattern.split("/")
    if has_resource and SHARED in options:
        return _now("A path with {resource} can’t be “shared”.")
    if not has_resource and SHARED not in options:
        return _now("A path without {resource} must be “shared”: every window of this tool allows it.")
    return None


def _fault_of(pattern: str) -> str | None:
    """Return what is wrong with a pattern, or None."""
    first, *parts = pattern.split("/")
    if first or not parts:
        return _now("A path begins with “/”.")
    if REST in parts[:-1]:
        return _now("“**” can only be at the end of a path.")
    if parts.count(RESOURCE) > 1 or parts.count(TENANT) > 1:
        return _now("A path can have {resource} once and {tenant} once.")
    for number, part in enumerate(parts, start=1):
        is_last_slash = not part and number == len(parts)
        is_literal = _LITERAL.fullmatch(part) is not None and not part.endswith(".")
        if not (is_last_slash or is_literal or part in (RESOURCE, TENANT, ONE, REST)):
            words = _now("“%(part)s” can’t be a part of a path. A part is a plain text, {resource}, {tenant}, * or **.")
            return words % {"part": part[:60]}
    return None


def _match(rule: Rule, parts: tuple[str, ...]) -> Match | None:
    pattern = rule.parts
    if pattern[-1] == REST:
        pattern = pattern[:-1]
        if len(parts) < len(pattern):
            return None
        parts = parts[: len(pattern)]
    if len(parts) != len(pattern):
        return None
    held: dict[str, str] = {}
    for wanted, part in zip(pattern, parts, strict=True):
        if wanted in (RESOURCE, TENANT, ONE):
            if not part:
                return None
            held[wanted] = part
        elif wanted != part:
            return None
    return Match(rule, held.get(RESOURCE), held.get(TENANT))


def _parts(path: str) -> tuple[str, ...]:
    """Return the decoded parts of a path. Raise Refused if a server could read one of them differently."""
    *parts, last = path[1:].split("/")
    found = tuple(map(_decoded, (*parts, last)))
    if not all(parts) or any(part.endswith((".", " ")) for part in found):
        # An empty part is "//". A part that ends with a dot is ".", "..", or a name that Windows shortens.
        raise Refused(Reason.AMBIGUOUS_PATH)
    return found


def _decoded(part: str) -> str:
    """Return the text of a part. The path has only printable ASCII, so nothing else can be ambiguous without "%"."""
    if "%" not in part:
        return part
    if any(int(code, 16) in _NEVER_ENCODED for code in _ENCODED.findall(part)):
        raise Refused(Reason.AMBIGUOUS_PATH)
    try:
        text = unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise Refused(Reason.AMBIGUOUS_PATH) from None
    simplified = unicodedata.normalize("NFKC", text)
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Zl", "Zp") for sign in text) or any(
        simplified.count(sign) != text.count(sign) for sign in _SEPARATORS
    ):
        raise Refused(Reason.AMBIGUOUS_PATH)
    return text


def _names(query: str) -> Iterator[str]:
    """Return the names of the parameters, as the framework would read them that changes most of their signs (PHP)."""
    for pair in _pairs(query):
        name = unquote_plus(pair.partition("=")[0]).strip().lower()
        yield re.sub(r"[. ]", "_", name.partition("[")[0])


def _pairs(query: str) -> list[str]:
    """Return the parameters, divided at each sign at which some framework divides them."""
    return re.split("[&;?]", query)
