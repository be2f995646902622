"""How pages show times, states, names, and the texts of strangers."""

import re
import zoneinfo
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django import forms
from django.template import Context, Template
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import strip_tags

from requests_app.domain.states import State, TicketState

NOW = datetime(2025, 11, 25, 9, 55, tzinfo=UTC)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def show(source: str, **values: object) -> str:
    values.setdefault("now", NOW)
    return Template("{% load lockbox %}" + source).render(Context(values))


def words(source: str, **values: object) -> str:
    return " ".join(strip_tags(show(source, **values)).split())


# --- Times ----------------------------------------------------------------------------------------


def test_an_instant_is_shown_in_the_readers_zone() -> None:
    expected = {
        ("Europe/Berlin", datetime(2025, 11, 25, 13, 5, tzinfo=UTC)): "Tue 25 Nov, 14:05 CET",
        ("Europe/Berlin", datetime(2025, 7, 1, 12, 0, tzinfo=UTC)): "Tue 1 Jul, 14:00 CEST",
        ("Europe/Berlin", datetime(2024, 11, 25, 13, 5, tzinfo=UTC)): "Mon 25 Nov 2024, 14:05 CET",
        # In Berlin, it is already the next year.
        ("Europe/Berlin", datetime(2025, 12, 31, 23, 30, tzinfo=UTC)): "Thu 1 Jan 2026, 00:30 CET",
        ("America/Sao_Paulo", datetime(2025, 11, 25, 13, 5, tzinfo=UTC)): "Tue 25 Nov, 10:05 UTC−3",
        ("Asia/Kathmandu", datetime(2025, 11, 25, 13, 5, tzinfo=UTC)): "Tue 25 Nov, 18:50 UTC+5:45",
        ("UTC", datetime(2025, 11, 25, 13, 5, tzinfo=UTC)): "Tue 25 Nov, 13:05 UTC",
    }
    found = {}
    for zone, at in expected:
        with timezone.override(zoneinfo.ZoneInfo(zone)):
            found[zone, at] = words("{% when at %}", at=at)
    assert found == expected


def test_an_instant_keeps_its_exact_value_for_programs() -> None:
    at = datetime(2025, 11, 25, 13, 5, 7, 123456, tzinfo=UTC)
    assert 'datetime="2025-11-25T13:05:07.123456+00:00"' in show("{% when at %}", at=at)


def test_no_instant_is_nothing() -> None:
    assert show("{% when at %}{% relative at %}{% when_full at %}{{ at|duration }}", at=None) == ""


def test_a_relative_time_never_promises_more_than_there_is() -> None:
    expected = {
        timedelta(hours=3, minutes=10, seconds=59): "in 3 h 10 min",
        timedelta(hours=2): "in 2 h",
        timedelta(days=1, hours=4, minutes=59): "in 1 d 4 h",
        timedelta(minutes=10): "in 10 min",
        timedelta(minutes=9, seconds=59): "in 9 min 59 s",
        timedelta(minutes=1): "in 1 min",
        timedelta(seconds=59): "in 59 s",
        timedelta(milliseconds=10): "in 0 s",
        timedelta(0): "just now",
        timedelta(seconds=-59): "just now",
        timedelta(seconds=-60): "1 min ago",
        timedelta(hours=-2, minutes=-59): "2 h ago",
        timedelta(days=-12): "12 d ago",
    }
    assert {away: words("{% relative at %}", at=NOW + away) for away in expected} == expected


def test_a_relative_time_uses_the_pages_instant() -> None:
    with pytest.raises(KeyError):
        Template("{% load lockbox %}{% relative at %}").render(Context({"at": NOW}))


def test_both_in_one() -> None:
    with timezone.override(BERLIN):
        at = datetime(2025, 11, 25, 13, 5, tzinfo=UTC)
        assert words("{% when_full at %}", at=at) == "Tue 25 Nov, 14:05 CET (in 3 h 10 min)"


def test_a_length_of_time_is_written_in_full() -> None:
    expected = {
        7200: "2 hours",
        3600: "1 hour",
        1800: "30 minutes",
        5400: "1 hour 30 minutes",
        86400: "24 hours",
        172800: "2 days",
        45: "45 seconds",
        1: "1 second",
        0: "0 seconds",
    }
    assert {seconds: words("{{ seconds|duration }}", seconds=seconds) for seconds in expected} == expected


# --- Deadlines ------------------------------------------------------------------------------------

DEADLINE = "{% deadline closes opened=opened kind=kind %}"


def visible_words(html: str) -> str:
    """Return the text of the HTML, without elements that have the attribute `hidden`."""
    return " ".join(strip_tags(re.sub(r"<span[^>]*\bhidden>.*?</span>", "", html, flags=re.S)).split())


@pytest.mark.parametrize(
    ("kind", "left", "look", "expected"),
    [
        ("decision", timedelta(hours=3), "", "Answer by Tue 25 Nov, 12:55 UTC in 3 h"),
        ("decision", timedelta(minutes=5), "deadline-soon", "Answer by Tue 25 Nov, 10:00 UTC in 5 min"),
        ("decision", timedelta(0), "deadline-past", "Expired Tue 25 Nov, 09:55 UTC just now"),
        ("decision", timedelta(hours=-1), "deadline-past", "Expired Tue 25 Nov, 08:55 UTC 1 h ago"),
        ("window", timedelta(hours=1), "", "Closes Tue 25 Nov, 10:55 UTC in 1 h"),
        ("window", timedelta(hours=-1), "deadline-past", "Closed Tue 25 Nov, 08:55 UTC 1 h ago"),
    ],
)
def test_a_deadline_shows_its_own_state(kind: str, left: timedelta, look: str, expected: str) -> None:
    html = show(DEADLINE, closes=NOW + left, opened=NOW - timedelta(hours=9), kind=kind)
    assert visible_words(html) == expected
    assert re.findall(r"deadline-(?:soon|past)", html.split(">", 1)[0]) == ([look] if look else [])


def test_the_bar_of_a_deadline_shows_the_time_used() -> None:
    html = show(DEADLINE, closes=NOW + timedelta(hours=3), opened=NOW - timedelta(hours=9), kind="decision")
    assert 'max="43200" value="32400"' in html


def test_a_deadline_that_ended_early_does_not_tick() -> None:
    html = show("{% deadline closes opened=opened over=True %}", closes=NOW + timedelta(hours=3), opened=NOW)
    assert "data-deadline" not in html
    assert "<progress" not in html
    assert visible_words(html) == "The answer was due by Tue 25 Nov, 12:55 UTC"


# --- States ---------------------------------------------------------------------------------------


def _badge_fault(state: str, subject: str) -> str:
    html = show("{% badge state subject=subject %}", state=state, subject=subject)
    if str(state) in html:
        return "shows its bare name, as an unknown state does"
    if "#" not in html:
        return "has no icon"
    return "" if words("{% badge state subject=subject %}", state=str(state), subject=subject) else "has no words"


def test_every_state_has_its_own_badge() -> None:
    states = [*((state, "access_request") for state in State), *((state, "ticket") for state in TicketState)]
    assert len(states) > 10
    assert {(state, subject): fault for state, subject in states if (fault := _badge_fault(state, subject))} == {}
    assert _badge_fault("FROZEN", "ticket")


def test_grey_print_still_tells_the_states_apart() -> None:
    shapes = {state: re.findall(r"svg#([\w-]+)", show("{% badge state %}", state=state)) for state in State}
    shown = {state: tuple(shape) for state, shape in shapes.items() if state != State.PENDING_CUSTOMER}
    assert len(set(shown.values())) == len(shown)


def test_a_badge_takes_other_words() -> None:
    assert words('{% badge "PENDING_CUSTOMER" word="Waiting for you" %}') == "Waiting for you"
    assert words('{% badge "sealed" subject="kind" word="Verified" %}') == "Verified"


def test_a_state_that_is_not_known_is_not_hidden() -> None:
    assert words('{% badge "FROZEN" %}') == "FROZEN"


# --- People ---------------------------------------------------------------------------------------


def test_a_person_of_the_provider_is_shown_with_role_and_organisation() -> None:
    priya = SimpleNamespace(name="Priya Natarajan", side="provider")
    source = '{% person someone role="engineer" %}'
    assert words(source, someone=priya, provider_name="Microsoft") == "Priya Natarajan, engineer, Microsoft"


def test_a_customer_is_not_given_the_providers_name() -> None:
    ana = SimpleNamespace(name="Ana Torres", side="customer")
    assert words("{% person someone %}", someone=ana, provider_name="Microsoft") == "Ana Torres"


def test_a_name_that_imitates_another_is_marked_in_words() -> None:
    imitations = [
        "Pаul Smith",  # a Cyrillic letter in a Latin name
        "Ρaul Smith",  # a Greek capital
        "𝐏aul Smith",  # a mathematical letter
        "Ｐaul Smith",  # a full-width letter
    ]
    shown = {name: words("{% person name %}", name=name) for name in imitations}
    assert {name: text for name, text in shown.items() if "letters of different alphabets" not in text} == {}


def test_an_honest_name_is_not_marked() -> None:
    names = ["Łukasz Żółć", "Ольга Иванова", "Γιώργος Παππάς", "山田 Taro", "محمد علي"]
    assert [words("{% person name %}", name=name) for name in names] == names


def test_a_name_that_is_turned_round_is_shown_as_it_is_written() -> None:
    shown = words("{% person name %}", name="Anna\u202e Smith")
    assert "\u202e" not in shown
    assert "U+202E" in shown
    assert "hidden characters in this name" in shown


def test_a_length_of_time_knows_its_grammatical_number() -> None:
    expected = {3600: "1", 7200: "2", 60: "1", 1800: "30", 5400: "31", 3660: "2", 0: "0", 172800: "2"}
    assert {seconds: show("{{ seconds|duration_number }}", seconds=seconds) for seconds in expected} == expected


# --- Text of strangers ----------------------------------------------------------------------------


#: The filters that prepare text of strangers for a page.
FILTERS = ("visible", "visible_line")
HIDDEN = (
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\u200c\u200d\u2060\ufeff"
    "\u00ad\u2028\u2029\u0000\u0007\u001b\u007f\u0085\u009f\U000e0041"
)


def test_hidden_characters_are_shown_as_their_code() -> None:
    shown = {(name, char): show(f"{{{{ text|{name} }}}}", text=f"a{char}b") for name in FILTERS for char in HIDDEN}
    offenders = {
        (name, f"U+{ord(char):04X}"): html
        for (name, char), html in shown.items()
        if char in html or f"U+{ord(char):04X}" not in html
    }
    assert offenders == {}


def test_text_is_escaped() -> None:
    shown = {name: show(f"{{{{ text|{name} }}}}", text="<script>alert('x')</script> & more") for name in FILTERS}
    assert [name for name, html in shown.items() if "<script" in html] == []
    escaped = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; more"
    assert {name: html for name, html in shown.items() if escaped not in html} == {}


def test_lines_stay_separate_with_any_line_ending() -> None:
    assert show("{{ text|visible }}", text="a\nb\r\nc\rd").count("<br>") == 3


def test_one_event_stays_one_line() -> None:
    html = show("{{ text|visible_line }}", text="done\ngrant.revoked by Ana")
    assert "\n" not in html
    assert "<br" not in html
    assert "↵" in html


def test_emoji_and_tabs_are_no_secret() -> None:
    assert words("{{ text|visible }}", text="fine\t👍 é") == "fine 👍 é"


def test_a_digest_is_grouped_and_copied_whole() -> None:
    html = show("{{ value|digest }}", value="9f86d081884c")
    assert html.count("<span>") == 3
    assert strip_tags(html) == "9f86d081884c"
    assert strip_tags(show("{{ value|digest }}", value=b"\x9f\x86")) == "9f86"


def test_a_level_is_described_by_what_it_allows() -> None:
    assert words("{{ level|level_words:kind }}", level="read", kind="mailbox") == "read messages"
    assert words("{{ level|level_words:kind }}", level="read", kind="spaceship") == "read content"
    assert "but open no messages" in words("{{ level|level_words:kind }}", level="names", kind="mailbox")
    assert words("{{ level|level_words }}", level="everything") == "unknown level"


# --- Components -----------------------------------------------------------------------------------


class Ask(forms.Form):
    tried = forms.CharField(label="What did you try?", help_text="In your words.")
    level = forms.ChoiceField(label="How much?", choices=[("read", "Read")], widget=forms.RadioSelect)


def test_a_field_is_wired_to_its_help_and_its_error() -> None:
    html = render_to_string("components/_form.html", {"form": Ask({}), "submit_label": "Ask"})
    for wired in re.findall(r'aria-describedby="([^"]+)"', html):
        for id_ in wired.split():
            assert f'id="{id_}"' in html
    assert 'aria-describedby="id_tried_helptext id_tried_error"' in html


def test_the_error_summary_leads_to_each_field() -> None:
    html = render_to_string("components/_form.html", {"form": Ask({}), "submit_label": "Ask"})
    targets = re.findall(r'href="#([^"]+)"', html)
    assert targets == ["id_tried", "id_level_0"]
    assert all(f'id="{target}"' in html for target in targets)


def test_pages_of_last_resort_need_no_context() -> None:
    names = ("base", "400", "403", "403_csrf", "404", "409", "429", "500", "503")
    pages = {name: render_to_string(f"{name}.html", {}) for name in names}
    seen = {name: ("<main" in html, html.count("<h1>"), "None" in html) for name, html in pages.items()}
    assert seen == dict.fromkeys(names, (True, 1, False))


def test_an_open_window_says_that_nothing_was_opened() -> None:
    row = SimpleNamespace(enforced_by="", has_gate=False)
    grant = SimpleNamespace(opens_at=NOW, closes_at=NOW)
    line = SimpleNamespace(row=row, grant=grant, close_url="/x", close_words="Close now")
    window = SimpleNamespace(line=line, name="x", heading="Open now", looks=[], seen="", silence=None, poll_url="")
    html = show("{% load rows %}{% live_window window %}", window=window)
    assert "Nothing has been opened so far." in html
    assert "Close now" in html


def test_an_address_breaks_behind_its_slashes_and_nothing_in_it_is_markup() -> None:
    assert show("{{ path|breakable }}", path="/api/<b>") == "/<wbr>api/<wbr>&lt;b&gt;"
