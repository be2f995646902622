"""What a file can be: separators, encodings, limits and faults. Each fault has its line, its column and its reason."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import pytest

from requests_app import operations
from requests_app.domain import imports
from requests_app.domain.errors import ChangeProposed
from requests_app.domain.imports import BYTES_MAX, FAULTS_MAX, LINES_MAX
from requests_app.models import Plan, Resource, Service, Tenant
from requests_app.platform import csv_files
from tests.cast import Cast
from tests.imports.files import HEADER, MAIL, csv_of, faults_of, imported, refused

pytestmark = pytest.mark.django_db


def new(number: int, **values: str) -> str:
    """Return a line for a new mailbox of Contoso, with some of its values replaced."""
    known = {"tenant": "contoso", "service": "exchange-online", "external_id": f"x-{number}", "kind": "mailbox"}
    known |= {"name": f"box {number}", "locator": f"contoso/mail/box-{number}"}
    return ",".join({**known, **values}.get(column, "") for column in HEADER.split(","))


@pytest.mark.parametrize(
    "data",
    [
        csv_of(MAIL),
        b"\xef\xbb\xbf" + csv_of(MAIL),
        csv_of(MAIL).replace(b",", b";"),
        csv_of(MAIL).replace(b",", b"\t"),
        csv_of(MAIL).replace(b"\n", b"\r\n") + b"\r\n\r\n",
        csv_of(MAIL.replace("contoso/mail/legal", '"contoso/mail/legal"')),
        csv_of(MAIL, header=HEADER.upper()),
    ],
    ids=["plain", "byte order mark", "semicolons of Excel", "tabs", "line ends of Windows", "quoted", "capitals"],
)
def test_a_file_of_any_spreadsheet_is_read(cast: Cast, data: bytes) -> None:
    assert faults_of(data, cast) == []
    [row] = csv_files.source(data, file_name="").rows
    assert (row.line, row.values["locator"]) == (2, "contoso/mail/legal")


def _zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("resources.csv", csv_of(MAIL))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", (1, "", "empty")),
        (csv_of(), (1, "", "empty")),
        (b"x" * (BYTES_MAX + 1), (1, "", "too_large")),
        (_zipped(), (1, "", "not_text")),
        (csv_of(MAIL).decode().encode("utf-16"), (1, "", "not_text")),
        (csv_of(MAIL, MAIL.replace("legal", "größe")).decode().encode("latin-1"), (3, "", "not_utf8")),
        (csv_of(MAIL, MAIL.replace("legal", "le\0gal")), (3, "", "nul")),
        (csv_of(MAIL, header=HEADER + ",colour"), (1, "colour", "unknown_column")),
        (csv_of(MAIL, header=HEADER.replace("plan", "name")), (1, "name", "column_twice")),
        (csv_of("Contoso", header="tenant_name"), (1, "tenant", "column_missing")),
        (csv_of(MAIL, MAIL + ",more"), (3, "", "cells")),
        (csv_of(MAIL, 'contoso,"never closed'), (3, "", "bad_quotes")),
        (csv_of(MAIL, 'contoso,"a"b'), (3, "", "bad_quotes")),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_its_line(cast: Cast, data: bytes, fault: tuple[int, str, str]) -> None:
    assert faults_of(data, cast) == [fault]


def test_a_file_with_too_many_lines_is_refused(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "LINES_MAX", 3)
    assert faults_of(csv_of(*map(new, range(3))), cast) == []
    assert faults_of(csv_of(*map(new, range(4))), cast) == [(5, "", "too_many_lines")]


@pytest.mark.parametrize("line", ["x", "", ",,,,,,,,,", '"'], ids=["too short", "empty", "without values", "quote"])
def test_faulty_and_empty_lines_count_too(line: str) -> None:
    """Otherwise a small file could take minutes and gigabytes."""
    lines = 2_000_000
    data = csv_of(*[line] * lines)
    tracemalloc.start()
    try:
        found = csv_files.source(data[:BYTES_MAX], file_name="")
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 200 * 1024 * 1024
    if line != '"':
        assert [(fault.line, fault.code) for fault in found.faults[:2]] == [(LINES_MAX + 2, "too_many_lines")]
    assert not found.rows


def test_a_header_with_millions_of_cells_is_refused(cast: Cast) -> None:
    for name, code in (("x", "unknown_column"), ("tenant", "column_twice")):
        found = csv_files.source(",".join([name] * 1_000_000).encode(), file_name="").faults
        assert len(found) == FAULTS_MAX + 1
        assert {fault.code for fault in found[:FAULTS_MAX]} == {code}
        # One column is missing, or is there once.
        assert imports.number_of(found) == 1_000_000 + (1 if name == "x" else -1)


def test_a_report_names_some_thousand_faults_and_counts_the_others(cast: Cast) -> None:
    lines = [new(number, kind="disk") for number in range(FAULTS_MAX)]
    assert len(faults_of(csv_of(*lines), cast)) == FAULTS_MAX
    # Some with a wrong value, and some with too few cells.
    more = csv_of(*lines, *["contoso"] * (FAULTS_MAX + 7))
    report = operations.check_import(csv_files.source(more, file_name=""), actor=cast.as_("stella"))
    assert len(report.faults) == FAULTS_MAX + 1
    assert {fault.code for fault in report.faults[:-1]} == {"not_a_choice"}
    assert report.faults[-1].code == "more_faults"
    assert report.faults[-1].line == FAULTS_MAX + 2
    assert str(FAULTS_MAX + 7) in report.faults[-1].reason
    assert imports.number_of(report.faults) == 2 * FAULTS_MAX + 7


@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
@pytest.mark.parametrize("column", ["tenant_name", "name", "external_id"])
def test_a_formula_is_refused_with_its_line(cast: Cast, sign: str, column: str) -> None:
    """Threat 58. A name leaves this product again, in an export that a spreadsheet opens."""
    value = f'"{sign}HYPERLINK(""https://evil.example"")"'
    assert faults_of(csv_of(new(1), new(2, **{column: value})), cast) == [(3, column, "formula")]


@pytest.mark.parametrize("char", ["\u202e", "\u2066", "\u200f", "\x1b", "\x07", "\n", "\u2028", "\ufeff"])
@pytest.mark.parametrize("column", ["name", "locator", "tenant_name"])
def test_an_invisible_character_is_refused_with_its_line(cast: Cast, char: str, column: str) -> None:
    """For example, a change of the writing direction shows a name that is not the stored one."""
    value = f'"contoso/mail/a{char}b"'
    found = faults_of(csv_of(new(1), new(2, **{column: value}), new(3, kind="disk")), cast)
    # The next line has the right number, although this one has a line break in it.
    assert found == [(3, column, "invisible_character"), (4 + (char == "\n"), "kind", "not_a_choice")]


def test_letters_of_all_languages_are_names(cast: Cast) -> None:
    names = ["Größe", "نام\u200cه", "👩\u200d🚀", "日本語", "O’Brien, Ann"]
    assert faults_of(csv_of(*(new(number, name=f'"{name}"') for number, name in enumerate(names))), cast) == []


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("tenant", "", "needed"),
        ("tenant", "nobody", "unknown_tenant"),
        ("plan", "E9", "unknown_plan"),
        ("time_zone", "Mars/Base", "unknown_time_zone"),
        ("tenant_name", "Fabrikam", "name_taken"),
        ("service", "", "needed"),
        ("service", "teams", "unknown_service"),
        ("kind", "", "needed"),
        ("kind", "disk", "not_a_choice"),
        ("name", "", "needed"),
        ("name", "x" * 201, "too_long"),
        ("locator", "", "needed"),
        ("locator", "fabrikam/mail/legal", "outside_root"),
        ("locator", "Contoso/mail/legal", "outside_root"),
        ("locator", "contoso", "outside_root"),
        ("locator", "/contoso/mail", "outside_root"),
        ("locator", "contoso/../fabrikam/mail", "outside_root"),
        ("locator", "contoso/./mail/x", "not_a_plain_path"),
        ("locator", "contoso//mail/x", "not_a_plain_path"),
        ("locator", "contoso/mail/x/", "not_a_plain_path"),
        ("locator", "contoso/mail\\x", "not_a_plain_path"),
        ("locator", "contoso/mail/u\u0308", "not_a_plain_path"),
        ("locator", "contoso/mail", "overlaps"),
        ("locator", "contoso/mail/box-1/inbox", "overlaps"),
        ("active", "perhaps", "not_a_choice"),
        ("external_id", "y" * 201, "too_long"),
    ],
)
def test_a_wrong_value_is_refused_with_its_line_and_column(cast: Cast, column: str, value: str, code: str) -> None:
    assert faults_of(csv_of(new(1), new(2, **{column: value})), cast) == [(3, column, code)]


def test_a_row_that_names_another_tenants_resource_is_refused(cast: Cast) -> None:
    """Threat 58: by its locator, or by its external id, in the database or in the same file."""
    theirs = Resource.objects.filter(tenant=cast.fabrikam).first()
    assert theirs is not None
    Resource.objects.filter(pk=theirs.pk).update(external_id="f-1")
    lines = [
        new(1, external_id="f-1", service=theirs.service.key),
        new(2, locator=theirs.locator),
        new(3, external_id="both"),
        new(4, external_id="both", tenant="fabrikam", locator="fabrikam/mail/box-4"),
    ]
    assert faults_of(csv_of(*lines), cast) == [
        (2, "external_id", "of_another_tenant"),
        (3, "locator", "outside_root"),
        (5, "external_id", "of_another_tenant"),
    ]


@pytest.mark.dialect
def test_ids_and_paths_in_other_letters_are_refused(cast: Cast) -> None:
    """In the database or in the same file, as on the pages and in the API."""
    Resource.objects.filter(pk=cast.resource().pk).update(external_id="Fi-1")
    Resource.objects.filter(pk=cast.resource("fabrikam").pk).update(external_id="Stra\u00dfe")
    lines = [
        new(1, external_id="fi-1"),
        new(2, external_id="STRASSE"),
        new(3, locator="contoso/mail/FINANCE/inbox"),
        new(4, external_id="new-4"),
        new(5, external_id="NEW-4"),
        new(6, locator="contoso/mail/BOX-4"),
        new(7, external_id="nai\u0308ve"),
    ]
    assert faults_of(csv_of(*lines), cast) == [
        (2, "external_id", "alike"),
        (3, "external_id", "of_another_tenant"),
        (4, "locator", "overlaps"),
        (6, "external_id", "alike"),
        (7, "locator", "overlaps"),
        (8, "external_id", "not_composed"),
    ]


@pytest.mark.dialect
def test_a_text_that_could_mean_two_resources_is_refused(cast: Cast) -> None:
    """As on the pages and in the API: otherwise a new row could change the decision point's answers about another."""
    row = cast.resource()
    Resource.objects.filter(pk=row.pk).update(external_id="m-7")
    lines = [
        new(1, name="M-7"),
        new(2, name=row.locator),
        new(3, external_id=row.name),
        new(4, name="same", external_id="same"),
        new(5, name="x-6"),
        new(6),
        new(7, name="m-7", service="sharepoint-online", kind="library"),
        new(8, external_id="m-7", name=row.name, locator=row.locator),
    ]
    assert faults_of(csv_of(*lines), cast) == [
        (2, "name", "mistakable"),
        (3, "name", "mistakable"),
        (4, "external_id", "mistakable"),
        (7, "external_id", "mistakable"),
    ]


@pytest.mark.dialect
def test_no_id_of_a_tenant_is_an_id_of_another_in_other_letters(cast: Cast) -> None:
    Tenant.objects.filter(pk=cast.contoso.pk).update(external_id="C-1")
    lines = ["c-1,One,E5,", "two,Two,E5,CONTOSO", "fabrikam,,,contoso", "four,Four,E5,4", "northwind,,,FOUR"]
    assert faults_of(csv_of(*lines, header="tenant,tenant_name,plan,tenant_external_id"), cast) == [
        (2, "tenant", "short_name_taken"),
        (3, "tenant_external_id", "external_id_taken"),
        (4, "tenant_external_id", "external_id_taken"),
        (6, "tenant_external_id", "external_id_taken"),
    ]


def test_rows_that_contradict_each_other_are_refused(cast: Cast) -> None:
    adatum = {"tenant": "adatum", "tenant_name": "Adatum", "plan": "E5"}
    lines = [
        new(1, external_id="same"),
        new(2, external_id="same"),
        new(3, locator="contoso/mail/tree"),
        new(4, locator="contoso/mail/tree/branch"),
        new(5, locator="contoso/mail/leaf/green"),
        new(6, locator="contoso/mail/leaf"),
        new(7, **adatum, locator="adatum/mail/7"),
        new(8, **{**adatum, "tenant_name": "Adatum Ltd"}, locator="adatum/mail/8"),
        new(9, **{**adatum, "tenant": "adatum-2"}, locator="adatum-2/mail/9"),
        new(10, **{**adatum, "tenant": "Adatum"}, locator="Adatum/mail/10"),
        new(11, tenant="later", locator="later/mail/11"),
    ]
    assert faults_of(csv_of(*lines), cast) == [
        (3, "name", "contradicts"),
        (3, "locator", "contradicts"),
        (5, "locator", "overlaps"),
        (7, "locator", "overlaps"),
        (9, "tenant_name", "contradicts"),
        (10, "tenant_name", "name_taken"),
        (11, "tenant", "bad_short_name"),
        (11, "tenant_name", "name_taken"),
        (12, "tenant", "unknown_tenant"),
    ]


def test_a_resource_of_an_external_service_has_an_id_and_no_locator(cast: Cast) -> None:
    Service.objects.create(key="quillo", name="Quillo", connector="external", application="Quillo")
    alone = {"service": "quillo", "kind": "workspace", "locator": ""}
    lines = [
        new(1, **alone),
        new(2, **{**alone, "locator": "contoso/mail/box-2"}),
        new(3, **alone, external_id=""),
        new(4, **alone, external_id=".."),
    ]
    assert faults_of(csv_of(*lines), cast) == [
        (3, "locator", "no_locator"),
        (4, "external_id", "needed"),
        (5, "external_id", "not_an_id"),
    ]
    imported(cast, new(1, **alone))
    assert Resource.objects.get(external_id="x-1").locator == ""
    assert imported(cast, new(1, **alone)) is None


def test_every_fault_of_a_large_file_is_named(cast: Cast) -> None:
    """1 % of 20,000 lines have a fault."""
    lines = [
        new(number, **({"locator": f"fabrikam/{number}"} if number % 100 == 7 else {})) for number in range(20_000)
    ]
    assert faults_of(csv_of(*lines), cast) == [
        (number + 2, "locator", "outside_root") for number in range(20_000) if number % 100 == 7
    ]


def test_each_reason_has_all_its_facts() -> None:
    """A reason with a name that no fault fills in would fail when it is shown."""
    facts = {
        "size", "most", "what", "why", "known", "cells", "columns", "length", "char", "sign", "choices", "external_id",
        "root", "other", "now", "line", "name", "application", "version", "number", "value",
    }  # fmt: skip
    for code, words in imports.REASONS.items():
        assert str(words) % dict.fromkeys(facts, "…"), code


def test_a_protected_tenant_gets_no_plan_that_is_about_to_lose_lockbox(cast: Cast) -> None:
    cast.colleague()
    losing = Plan.objects.create(name="Losing", includes_lockbox=True)
    Tenant.objects.filter(pk=cast.fabrikam.pk).update(plan=losing)
    with pytest.raises(ChangeProposed):
        operations.save_plan(plan_id=losing.pk, name="Losing", includes_lockbox=False, actor=cast.as_("stella"))
    assert refused(cast, "contoso,,Losing,,,,,,,") == [(2, "plan", "lasting_plan")]
    assert faults_of(csv_of("northwind,,Losing,,,,,,,"), cast) == [], "it has never had Lockbox on"
    cast.contoso.refresh_from_db()
    assert cast.contoso.plan.name == "E5"
