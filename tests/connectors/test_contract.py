"""The contract of the connectors. Each test runs with each connector."""

import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from requests_app.content.connectors import base
from requests_app.content.connectors.base import (
    CHUNK_BYTES,
    Connector,
    ConnectorError,
    ConnectorUnavailable,
    Item,
    ItemNotFound,
    ItemTooLarge,
    Limits,
    Malformed,
    OutsideResource,
    ResourceNotFound,
)
from tests.connectors.cases import SECRET, Case
from tests.connectors.watching import watched

pytestmark = pytest.mark.usefixtures("no_descriptor_left")

# On some system or with some decoder, each of these leads out of the resource, or is a second name of an item.
HOSTILE = [
    "",
    ".",
    "..",
    "/",
    "/etc/passwd",
    "../../fabrikam/docs/legal/secret.txt",
    "../../../fabrikam/mail/finance/cur/1762000099.M1.host",
    "..\\..\\fabrikam",
    "a/../../../x",
    "./Lease.txt",
    "Lease.txt/",
    "//Lease.txt",
    "Lease.txt\x00.png",
    "Lease\n.txt",
    "Lease\u2028.txt",
    "Lease\x85.txt",
    "\udcff",
    "C:\\Windows\\win.ini",
    "%2e%2e/%2e%2e/fabrikam",
    "..%2f..%2ffabrikam",
    "．．／fabrikam",
    "a" * 300,
    "a/" * 600 + "b",
    "x" * 100_000,
]


def listed(connector: Connector, locator: str, limit: int) -> list[Item]:
    """Read a resource page by page. Return all its items."""
    found: list[Item] = []
    after: str | None = None
    while True:
        page = connector.list(locator, after=after, limit=limit)
        assert len(page.items) <= limit
        found += page.items
        if page.next_after is None:
            return found
        assert page.next_after != after
        after = page.next_after


def content(connector: Connector, locator: str, item_id: str) -> bytes:
    with connector.open(locator, item_id) as stream:
        return b"".join(stream.chunks)


def test_check_accepts_a_resource_that_exists(case: Case) -> None:
    case.connector.check(case.locator)


def test_check_names_an_absent_resource(case: Case) -> None:
    with pytest.raises(ResourceNotFound):
        case.connector.check(case.locator + "-absent")


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
def test_every_page_size_lists_every_item_once_in_the_same_order(case: Case, limit: int) -> None:
    found = listed(case.connector, case.locator, limit)
    assert [item.id for item in found] == [item.id for item in listed(case.connector, case.locator, 100)]
    assert sorted(item.id for item in found) == sorted(case.contents)


def test_a_last_page_that_is_just_full_has_no_successor(case: Case) -> None:
    page = case.connector.list(case.locator, limit=len(case.contents))
    assert len(page.items) == len(case.contents)
    assert page.next_after is None


def test_a_test_opens_no_item_and_lists_no_folder_with_items(case: Case, tmp_path: Path) -> None:
    files = [path for path in (tmp_path / "content").rglob("*") if path.is_file()]
    with_items = {(facts.st_dev, facts.st_ino) for path in files for facts in [path.parent.stat()]}
    with watched() as seen:
        case.connector.check(case.locator)
    assert seen.opened == []
    assert not seen.listed & with_items
    with watched() as seen, case.connector.open(case.locator, next(iter(case.contents))):
        case.connector.list(case.locator)
    assert seen.opened, "reading is seen"
    assert seen.listed & with_items, "listing is seen"


def test_places_are_found_under_the_root_and_no_item_is_opened(case: Case) -> None:
    with watched() as seen:
        found = case.connector.resources("contoso")
    assert case.locator in [place.locator for place in found.places]
    assert all(place.locator.startswith("contoso/") for place in found.places)
    assert all(place.name == place.locator.rpartition("/")[2] for place in found.places)
    assert seen.opened == []
    for place in found.places:
        case.connector.check(place.locator)


def test_a_place_that_is_a_resource_already_is_neither_returned_nor_entered(case: Case, tmp_path: Path) -> None:
    inside = tmp_path / "content" / case.locator
    inner = {(facts.st_dev, facts.st_ino) for path in [inside, *inside.rglob("*/")] for facts in [path.stat()]}
    with watched() as seen:
        found = case.connector.resources("contoso", taken=[case.locator])
    for place in found.places:
        assert not place.locator.startswith(case.locator)
        assert not case.locator.startswith(f"{place.locator}/")
    assert not seen.listed & inner


@pytest.mark.parametrize("root", HOSTILE)
def test_no_place_is_found_under_a_hostile_root(case: Case, root: str) -> None:
    with pytest.raises(ConnectorError):
        case.connector.resources(root)


@pytest.mark.parametrize("after", ["", "/", "..", "contoso/../fabrikam", "a//b", "a\x00"])
def test_a_cursor_that_no_page_of_places_gave_is_refused(case: Case, after: str) -> None:
    with pytest.raises(Malformed):
        case.connector.resources("contoso", after=after)


def test_a_test_says_what_it_does_and_which_kinds_are_served(case: Case) -> None:
    assert case.connector.check_steps
    assert case.connector.kinds
    assert case.connector.holds_messages == ("mailbox" in case.connector.kinds)


@pytest.mark.parametrize("limit", [0, -1, 501, 10**9])
def test_a_page_without_bounds_is_refused(case: Case, limit: int) -> None:
    with pytest.raises(Malformed):
        case.connector.list(case.locator, limit=limit)


def test_items_that_come_while_paging_disturb_nothing_already_to_come(case: Case) -> None:
    first = case.connector.list(case.locator, limit=2)
    expected = [item.id for item in listed(case.connector, case.locator, 100)][2:]
    case.add(3)
    rest: list[str] = []
    after = first.next_after
    while after is not None:
        page = case.connector.list(case.locator, after=after, limit=2)
        rest += [item.id for item in page.items]
        after = page.next_after
    assert [item_id for item_id in rest if item_id in case.contents] == expected


@pytest.mark.parametrize("after", ["", "x", "1", "0", "1../x", "1\x00", "0..", "9" * 5000, "1" + "/" * 50])
def test_a_cursor_that_no_page_gave_is_refused(case: Case, after: str) -> None:
    with pytest.raises(Malformed):
        case.connector.list(case.locator, after=after)


def test_stat_and_the_listing_agree(case: Case) -> None:
    for item in case.connector.list(case.locator).items:
        assert case.connector.stat(case.locator, item.id) == item


def test_open_gives_exactly_the_content_in_small_chunks(case: Case) -> None:
    for item_id, expected in case.contents.items():
        with case.connector.open(case.locator, item_id) as stream:
            chunks = list(stream.chunks)
        assert b"".join(chunks) == expected
        assert stream.size == len(expected) == case.connector.stat(case.locator, item_id).size
        assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)


def test_a_file_name_for_a_download_is_one_plain_component(case: Case) -> None:
    for item_id in case.contents:
        with case.connector.open(case.locator, item_id) as stream:
            assert stream.filename
            assert not set(stream.filename) & set("/\\\0\r\n")


def test_ids_survive_an_address_and_fit_the_log(case: Case) -> None:
    for item in case.connector.list(case.locator).items:
        assert urllib.parse.unquote(urllib.parse.quote(item.id, safe="")) == item.id
        assert 0 < len(item.id) <= 1024
        assert item.reference.isprintable()


def test_a_name_for_the_log_holds_no_subject(case: Case) -> None:
    for item in case.connector.list(case.locator).items:
        if item.kind == "message":
            assert item.title
            assert item.title not in item.reference


@pytest.mark.parametrize("item_id", HOSTILE)
def test_a_hostile_id_opens_nothing(case: Case, item_id: str) -> None:
    connector = case.connector
    for question in (connector.stat, connector.open, connector.message):
        with pytest.raises((OutsideResource, ItemNotFound)):
            question(case.locator, item_id)


@pytest.mark.parametrize("prefix", [name for name in HOSTILE if name])
def test_a_hostile_prefix_lists_nothing(case: Case, prefix: str) -> None:
    with pytest.raises((OutsideResource, ItemNotFound)):
        case.connector.list(case.locator, prefix=prefix)


@pytest.mark.parametrize("locator", [*HOSTILE, "contoso/../fabrikam", "contoso/docs/legal/..", "."])
def test_a_hostile_locator_is_no_resource(case: Case, locator: str) -> None:
    connector = case.connector
    with pytest.raises((OutsideResource, ItemNotFound)):
        connector.check(locator)
    with pytest.raises((OutsideResource, ItemNotFound)):
        connector.list(locator)
    with pytest.raises((OutsideResource, ItemNotFound)):
        connector.open(locator, case.other_id)


def test_other_spellings_of_a_locator_are_no_resource(case: Case) -> None:
    first, _, rest = case.locator.partition("/")
    for spelling in (
        f"{first}//{rest}",
        f"{first}/./{rest}",
        f"{case.locator}/",
        case.locator.upper(),
        f" {case.locator}",
    ):
        with pytest.raises((OutsideResource, ItemNotFound)):
            case.connector.check(spelling)


def test_an_item_of_one_resource_is_absent_from_another(case: Case) -> None:
    assert SECRET in content(case.connector, case.other_locator, case.other_id)
    with pytest.raises(ItemNotFound):
        case.connector.open(case.locator, case.other_id)
    with pytest.raises(ItemNotFound):
        case.connector.stat(case.locator, case.other_id)


def _pieces(case: Case) -> st.SearchStrategy[str]:
    known = [part for name in [*case.contents, case.other_id, case.other_locator] for part in name.split("/")]
    odd = ["..", ".", "", "/", "\\", "\0", "\u202e", "e\u0301", "%2e", "cur", "new", "cur/", ":2,S", "~"]
    return st.lists(st.sampled_from([*known, *odd]) | st.text(max_size=4), max_size=8).map("/".join)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_no_id_at_all_gives_anything_but_the_items_of_the_resource(case: Case, data: st.DataObject) -> None:
    item_id = data.draw(_pieces(case))
    try:
        given_bytes = content(case.connector, case.locator, item_id)
    except (OutsideResource, ItemNotFound):
        return
    assert given_bytes == case.contents[item_id]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_no_locator_at_all_gives_the_other_resource(case: Case, data: st.DataObject) -> None:
    locator = data.draw(_pieces(case))
    if locator == case.other_locator:
        return
    with pytest.raises((OutsideResource, ItemNotFound)):
        case.connector.open(locator, case.other_id)


def test_an_item_above_the_limit_is_listed_but_not_opened(case: Case) -> None:
    item_id, data = max(case.contents.items(), key=lambda pair: len(pair[1]))
    connector = case.make(Limits(item_bytes=len(data) - 1))
    assert item_id in [item.id for item in connector.list(case.locator).items]
    with pytest.raises(ItemTooLarge):
        connector.open(case.locator, item_id)
    with case.make(Limits(item_bytes=len(data))).open(case.locator, item_id) as stream:
        assert len(b"".join(stream.chunks)) == len(data)


def test_a_closed_stream_does_not_pass_for_a_complete_one(case: Case) -> None:
    item_id = max(case.contents, key=lambda name: len(case.contents[name]))
    stream = case.connector.open(case.locator, item_id)
    assert len(next(stream.chunks)) == CHUNK_BYTES
    stream.close()
    stream.close()
    with pytest.raises(ConnectorUnavailable):
        next(stream.chunks)


def test_an_item_that_shrinks_while_it_is_read_is_an_error(case: Case) -> None:
    item_id = max(case.contents, key=lambda name: len(case.contents[name]))
    with case.connector.open(case.locator, item_id) as stream:
        next(stream.chunks)
        case.truncate(item_id)
        with pytest.raises(ConnectorUnavailable):
            list(stream.chunks)


def test_a_store_that_is_not_there_is_unavailable_and_not_empty(case: Case) -> None:
    connector = case.broken()
    for question in (connector.check, connector.list):
        with pytest.raises(ConnectorUnavailable):
            question(case.locator)


def test_a_part_that_does_not_exist_is_absent(case: Case) -> None:
    item_id = next(iter(case.contents))
    for part in ("", "0", "99", "-1", "../x", "\u0661"):
        with pytest.raises(ItemNotFound):
            case.connector.open(case.locator, item_id, part=part)


def test_only_connectors_of_mail_give_messages(case: Case) -> None:
    item_id = next(iter(case.contents))
    if case.connector.holds_messages:
        assert case.connector.message(case.locator, item_id).item == case.connector.stat(case.locator, item_id)
    else:
        with pytest.raises(ItemNotFound):
            case.connector.message(case.locator, item_id)


def test_many_readers_at_once_get_the_same(case: Case) -> None:
    connector = case.connector
    item_ids = list(case.contents) * 10
    with ThreadPoolExecutor(8) as pool:
        given_bytes = list(pool.map(lambda item_id: content(connector, case.locator, item_id), item_ids))
    assert given_bytes == [case.contents[item_id] for item_id in item_ids]


def test_each_error_has_a_code_of_its_own_and_quotes_no_content(case: Case) -> None:
    family = [kind for kind in vars(base).values() if isinstance(kind, type) and issubclass(kind, ConnectorError)]
    assert len({kind.code for kind in family}) == len(family) == 9
    with pytest.raises(ItemNotFound) as caught:
        case.connector.open(case.locator, "Secret subject")
    assert "Secret subject" not in str(caught.value)


def test_names_says_what_a_listing_reveals(case: Case) -> None:
    assert set(case.connector.names) <= {"sender", "subject", "file_name", "date", "size"}
    assert {"date", "size"} <= set(case.connector.names)
