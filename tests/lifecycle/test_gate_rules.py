"""The rules of a gate: which requests they allow, and which ones nobody can be sure how to read."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_app.domain import gate_rules
from requests_app.domain.errors import Unacceptable
from requests_app.domain.gate_rules import Match, Reason, Refused, asked, declared, match, rules_in

RULES = rules_in(
    declared(
        "list GET /tenants/{resource}/\n"
        "view GET,OPTIONS /tenants/{resource}/** query=*\n"
        "read POST,PUT,DELETE /tenants/{resource}/**\n"
        "view GET /{tenant}/of/{resource}/*/one\n"
        "view GET /events/{resource} stream\n"
        "view GET /socket/{resource} stream upgrade\n"
        "view GET /pages/{resource} query=page,sort[]\n"
        "view GET /assets/** shared"
    )
)


def judged(method: str, target: str, **headers: str) -> Match | Reason:
    try:
        return match(RULES, asked(method, target, {name.replace("_", "-"): text for name, text in headers.items()}))
    except Refused as refusal:
        return refusal.reason


@pytest.mark.parametrize(
    ("method", "target", "action", "resource", "tenant"),
    [
        ("GET", "/tenants/contoso/", "list", "contoso", None),
        ("GET", "/tenants/contoso", "view", "contoso", None),
        ("HEAD", "/tenants/contoso/a", "view", "contoso", None),
        ("GET", "/tenants/contoso/a/b/?x=1&y=%2f..", "view", "contoso", None),
        ("OPTIONS", "/tenants/contoso/a", "view", "contoso", None),
        ("DELETE", "/tenants/contoso/a", "read", "contoso", None),
        ("GET", "/tenants/a@b.example/x", "view", "a@b.example", None),
        ("GET", "/tenants/a%40b.example/x", "view", "a@b.example", None),
        ("GET", "/tenants/z%C3%BCrich%20west/x", "view", "zürich west", None),
        ("GET", "/contoso/of/ws-1/anything/one", "view", "ws-1", "contoso"),
        ("GET", "/assets/app.css", "view", None, None),
        ("GET", "/assets", "view", None, None),
    ],
)
def test_the_first_rule_that_matches_decides(
    method: str, target: str, action: str, resource: str | None, tenant: str | None
) -> None:
    found = judged(method, target)
    assert isinstance(found, Match)
    assert (found.rule.action, found.resource, found.tenant) == (action, resource, tenant)


@pytest.mark.parametrize("target", ["/", "/tenants", "/Tenants/contoso/", "/other/contoso", "/contoso/of/ws-1/one"])
def test_a_path_without_a_rule_is_refused(target: str) -> None:
    assert judged("GET", target) == Reason.NO_RULE


def test_a_method_without_a_rule_is_refused_and_so_is_an_unknown_one() -> None:
    assert judged("POST", "/assets/app.css") == Reason.NO_RULE
    for method in ("TRACE", "CONNECT", "PROPFIND", "get", "", "GET ", "QUERY"):
        assert judged(method, "/tenants/contoso/a") == Reason.UNKNOWN_METHOD


@pytest.mark.parametrize(
    "target",
    [
        "//tenants/contoso/a",
        "/tenants//contoso/a",
        "/tenants/contoso//a",
        "/tenants/contoso/a//",
        "/tenants/contoso/./a",
        "/tenants/contoso/../fabrikam/a",
        "/tenants/contoso/..",
        "/tenants/contoso/...",
        "/tenants/contoso./a",
        "/tenants/contoso/%2e%2e/fabrikam",
        "/tenants/contoso/%2E./fabrikam",
        "/tenants/contoso%2ffabrikam",
        "/tenants/contoso%2Ffabrikam",
        "/tenants/contoso%5cfabrikam",
        "/tenants/contoso\\fabrikam",
        "/tenants/contoso%252ffabrikam",
        "/tenants/contoso%25",
        "/tenants/contoso;v=1/a",
        "/tenants/contoso%3bv=1/a",
        "/tenants/contoso/a%00",
        "/tenants/contoso/a%0d%0a",
        "/tenants/contoso/a%7f",
        "/tenants/contoso/a%C2%85",
        "/tenants/contoso/a%E2%80%AE",
        "/tenants/contoso/a%20",
        "/tenants/contoso/a b",
        "/tenants/contoso/a\x00",
        "/tenants/contoso/zürich",
        "/tenants/contoso/%c0%af",
        "/tenants/contoso/%FF",
        "/tenants/contoso/%ED%A0%80",
        "/tenants/contoso/%EF%BC%8F..",
        "/tenants/contoso/%EF%BC%8E%EF%BC%8E/a",
        "/tenants/contoso/%",
        "/tenants/contoso/%4",
        "/tenants/contoso/%zz",
        "/tenants/%63ontoso/a",
        "/%74enants/contoso/a",
        "/tenants/contoso/a#b",
        "/tenants/contoso/a%20?x=1#b",
        "/tenants/contoso/a?x=1#b",
        "/tenants/contoso/a?x= 1",
        "/tenants/contoso/<a>",
        "http://quillo.example/tenants/contoso/a",
        "tenants/contoso/a",
        "",
        "*",
        "/tenants/contoso/" + "a" * 1000,
    ],
)
def test_a_path_that_two_programs_can_read_differently_is_refused(target: str) -> None:
    assert judged("GET", target) == Reason.AMBIGUOUS_PATH


@pytest.mark.parametrize(
    "query", ["_method=DELETE", "a=1&_method=x", "a=1;_method=x", "%5Fmethod=x", "_METHOD", "+_method=1", ".method[]=1"]
)
def test_a_method_in_the_query_is_refused(query: str) -> None:
    assert judged("GET", f"/tenants/contoso/a?{query}") == Reason.METHOD_OVERRIDE
    other = query.replace("ethod", "ode").replace("ETHOD", "ODE")
    assert isinstance(judged("GET", f"/tenants/contoso/a?{other}"), Match)


@pytest.mark.parametrize(
    "query", ["tenant=f-7", "page=1&tenant=f-7", "page=1;tenant=f-7", "page=1?tenant=f-7", "Page=1", "=1", "pag%65x=1"]
)
def test_a_parameter_that_the_rule_does_not_list_is_refused(query: str) -> None:
    assert judged("GET", f"/pages/contoso?{query}") == Reason.QUERY_REFUSED
    assert judged("GET", f"/assets/app.css?{query}") == Reason.QUERY_REFUSED
    assert isinstance(judged("GET", f"/tenants/contoso/a?{query}"), Match)


@pytest.mark.parametrize("query", ["", "page=1", "sort%5B%5D=a&page=2&page=3", "&page=%26tenant"])
def test_a_parameter_that_the_rule_lists_may_pass(query: str) -> None:
    assert isinstance(judged("GET", f"/pages/contoso?{query}"), Match)


def test_the_log_names_parameters_and_no_value() -> None:
    assert asked("GET", "/a?page=1&sort[]=2&page=3", {}).item == "GET /a?page&sort[]"
    assert asked("GET", "/a?a%20name=1&x", {}).item == "GET /a?…&x"
    assert asked("GET", "/a?" + "&".join(f"n{n}" for n in range(50)), {}).item.endswith("&n19&…")


@pytest.mark.parametrize(
    "name", ["x_http_method_override", "x-lockbox_identity", "x.http.method.override", "some_header"]
)
def test_a_header_that_two_programs_can_read_differently_is_refused(name: str) -> None:
    with pytest.raises(Refused) as refusal:
        asked("GET", "/tenants/contoso/a", {name: ""})
    assert refusal.value.reason == Reason.AMBIGUOUS_HEADER


@pytest.mark.parametrize("name", sorted(gate_rules.OVERRIDES))
def test_a_header_that_changes_the_method_or_the_path_is_refused(name: str) -> None:
    assert judged("GET", "/tenants/contoso/a", **{name: ""}) == Reason.METHOD_OVERRIDE


@pytest.mark.parametrize(
    "headers",
    [
        {"upgrade": "websocket"},
        {"connection": "keep-alive, Upgrade"},
        {"sec_websocket_key": "x"},
        {"http2_settings": "x"},
        {"x_original_upgrade": "websocket"},
    ],
)
def test_an_upgrade_needs_a_rule_that_allows_it(headers: dict[str, str]) -> None:
    assert judged("GET", "/tenants/contoso/a", **headers) == Reason.UPGRADE_REFUSED
    assert judged("GET", "/events/contoso", **headers) == Reason.UPGRADE_REFUSED
    assert isinstance(judged("GET", "/socket/contoso", **headers), Match)


def test_a_stream_of_events_needs_a_rule_that_allows_it() -> None:
    accept = {"accept": "text/html, Text/Event-Stream;q=0.5"}
    assert judged("GET", "/tenants/contoso/a", **accept) == Reason.STREAM_REFUSED
    assert isinstance(judged("GET", "/events/contoso", **accept), Match)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("view GET", 1),
        ("view GET /a shared\nlook GET /a", 2),
        ("view GET /a shared\n\nview FETCH /a", 3),
        ("view get /a", 1),
        ("view GET a", 1),
        ("view GET /a/**/b", 1),
        ("view GET /{resource}/{resource}", 1),
        ("view GET /{tenant}/{tenant}", 1),
        ("view GET /{name}", 1),
        ("view GET /a{resource}", 1),
        ("view GET /a*", 1),
        ("view GET //a", 1),
        ("view GET /../a", 1),
        ("view GET /a.", 1),
        ("view GET /a%20b", 1),
        ("view GET /a;b", 1),
        ("view GET /a?b", 1),
        ("view GET /a", 1),
        ("view GET /{tenant}/**", 1),
        ("view GET /{resource} shared", 1),
        ("view GET /a shared stream stream", 1),
        ("view GET /a shared download", 1),
        ("view GET /a shared query=", 1),
        ("view GET /a shared query=a,*", 1),
        ("view GET /a shared query=a&b", 1),
        ("view GET /a shared query=a query=b", 1),
    ],
)
def test_a_line_that_is_no_rule_is_refused_with_its_number(text: str, line: int) -> None:
    with pytest.raises(Unacceptable, match=f"Line {line}:") as refusal:
        declared(text)
    assert refusal.value.field == "gate_rules"


def test_the_rules_have_a_limit() -> None:
    assert declared("view GET /a shared\n" * 50)
    for text in ("view GET /a shared\n" * 51, f"view GET /{'a' * 4000}"):
        with pytest.raises(Unacceptable):
            declared(text)


def test_rules_are_stored_in_one_form() -> None:
    stored = declared("  view   HEAD,POST,GET  /a/**  shared  upgrade \r\n\n view GET / shared")
    assert stored == "view GET,POST /a/** shared upgrade\nview GET / shared"
    assert declared(stored) == stored
    assert "\n".join(rule.line for rule in rules_in(stored)) == stored


def _without_parameters(path: str) -> str:
    return re.sub(r";[^/]*", "", path)


#: How different servers and frameworks read a path before they look for what it names.
READERS: list[Callable[[str], str]] = [
    unquote,
    lambda path: unquote(unquote(path)),
    lambda path: unquote(posixpath.normpath(path)),
    lambda path: posixpath.normpath(unquote(path)),
    lambda path: re.sub("/+", "/", unquote(path)),
    lambda path: unquote(path).replace("\\", "/"),
    lambda path: _without_parameters(unquote(path)),
    lambda path: unquote(_without_parameters(path)),
    lambda path: unicodedata.normalize("NFKC", unquote(path)),
    lambda path: unquote(path).split("\0")[0],
    lambda path: "/".join(part.rstrip(". ") for part in unquote(path).split("/")),
]
_PIECES = st.sampled_from(
    ["/", "//", ".", "..", "%2e", "%2F", "%5c", "\\", ";", "%3B", "%25", "%00", "%EF%BC%8F", "%EF%BC%8E", "?", "#", "%"]
    + ["tenants", "contoso", "fabrikam", "a", "%61", "@", "%40", " ", "%20", "é", "%C3%A9", "e%CC%81", "x=1"]
)
_TARGETS = st.one_of(
    st.lists(_PIECES, max_size=12).map(lambda pieces: "/tenants/" + "".join(pieces)),
    st.lists(_PIECES, max_size=8).map(lambda pieces: "/tenants/contoso/" + "".join(pieces)),
    st.text(max_size=40).map(lambda text: "/tenants/" + text),
    st.text(max_size=30).map(lambda text: "/tenants/" + quote(text)),
)


@given(_TARGETS)
def test_every_server_sees_the_resource_that_was_judged(target: str) -> None:
    found = judged("GET", target)
    if isinstance(found, Reason):
        return
    path = target.partition("?")[0]
    for reader in READERS:
        seen = reader(path).split("/")
        assert seen[:2] == ["", "tenants"], path
        assert seen[2] in (found.resource, unicodedata.normalize("NFKC", found.resource or "")), path


@given(st.text(min_size=1, max_size=30))
def test_an_id_is_matched_exactly_and_only_encoded_once(external_id: str) -> None:
    for encoded in (quote(external_id, safe=""), quote(external_id, safe="!$&'()*+,=:@")):
        found = judged("GET", f"/tenants/{encoded}/a")
        assert found == Reason.AMBIGUOUS_PATH or (isinstance(found, Match) and found.resource == external_id)
        if "%" in encoded:
            assert judged("GET", f"/tenants/{quote(encoded)}/a") == Reason.AMBIGUOUS_PATH
    if re.fullmatch(r"[A-Za-z0-9@ _-]*[A-Za-z0-9]", external_id):
        assert isinstance(judged("GET", f"/tenants/{quote(external_id)}/a"), Match)


@given(st.text(max_size=200), st.text(max_size=8))
def test_no_text_as_a_path_or_a_method_makes_the_judge_fail(target: str, method: str) -> None:
    judged("GET", target)
    judged(method, "/tenants/contoso/a")


@given(st.text(max_size=200))
def test_a_text_of_rules_is_refused_or_stored_in_a_form_that_does_not_change(text: str) -> None:
    try:
        stored = declared(text)
    except Unacceptable:
        return
    assert declared(stored) == stored


def test_rules_are_read_once_although_each_request_needs_them() -> None:
    text = declared("view GET /once/{resource}")
    assert rules_in(text) is rules_in(f"{text}")
    assert rules_in(text) != rules_in(declared("view GET /twice/{resource}"))
