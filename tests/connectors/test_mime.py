"""Messages from anybody. Good messages are shown. Bad messages cost little time and break nothing."""

import email
import email.message
import email.policy
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from requests_app.content.connectors import _headers, _mime
from requests_app.content.connectors.base import ItemUnreadable, Limits, Message
from requests_app.content.connectors.maildir import Maildir
from tests.connectors.cases import make_maildir
from tests.offenders import collected

LOCATOR = "box"
NAME = "1762000000.M1.host"


class Box:
    """A mailbox that has one message at a time."""

    def __init__(self, root: Path) -> None:
        self._file = make_maildir(root / LOCATOR) / "cur" / f"{NAME}:2,S"
        self._root = root

    def put(self, data: bytes, limits: Limits | None = None) -> Maildir:
        self._file.write_bytes(data)
        return Maildir(self._root, limits)

    def read(self, data: bytes, limits: Limits | None = None) -> Message:
        return self.put(data, limits).message(LOCATOR, NAME)

    def part(self, data: bytes, part: str) -> bytes:
        with self.put(data).open(LOCATOR, NAME, part=part) as stream:
            return b"".join(stream.chunks)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


MIXED = crlf(
    """From: =?utf-8?q?J=C3=B6rg?= <jorg@contoso.example>
To: finance@contoso.example,
 sales@contoso.example
Subject: =?utf-8?B?WsO8cmljaA==?=
 =?utf-8?B?IGFuZCBtb3Jl?=
Date: Mon, 02 Nov 2026 09:30:00 +0100
Message-ID: <1@contoso.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe und =
mehr
--inner
Content-Type: text/html; charset=utf-8

<p>Grüße</p>
--inner--
--outer
Content-Type: application/pdf; name="ignored.pdf"
Content-Disposition: attachment; filename*0*=utf-8''%C3%9Cber; filename*1="sicht.pdf"
Content-Transfer-Encoding: base64

JVBERi0x
LjQK
--outer
Content-Type: text/plain
Content-Disposition: attachment; filename="notes.txt"

attached, not shown
--outer--
epilogue
"""
)


def test_a_message_is_taken_apart(box: Box) -> None:
    message = box.read(MIXED)
    assert dict(message.headers) == {
        "From": "Jörg <jorg@contoso.example>",
        "To": "finance@contoso.example, sales@contoso.example",
        "Subject": "Zürich and more",
        "Date": "Mon, 02 Nov 2026 09:30:00 +0100",
        "Message-ID": "<1@contoso.example>",
    }
    assert message.text == "Grüße und mehr"
    assert message.html == "<p>Grüße</p>"
    assert [(a.part, a.filename, a.media_type, a.size) for a in message.attachments] == [
        ("3", "Übersicht.pdf", "application/pdf", 9),
        ("4", "notes.txt", "text/plain", 19),
    ]
    assert message.problems == ()
    assert message.sent_at is not None
    assert message.sent_at.isoformat() == "2026-11-02T08:30:00+00:00"


def test_an_attachment_opens_by_its_part(box: Box) -> None:
    assert box.part(MIXED, "3") == b"%PDF-1.4\n"
    with box.put(MIXED).open(LOCATOR, NAME, part="3") as stream:
        assert (stream.filename, stream.media_type, stream.size) == ("Übersicht.pdf", "application/pdf", 9)
    assert box.part(MIXED, "4") == b"attached, not shown"


def test_line_ends_of_unix_are_read_as_well(box: Box) -> None:
    message = box.read(MIXED.replace(b"\r\n", b"\n"))
    assert message.text == "Grüße und mehr"
    assert [a.size for a in message.attachments] == [9, 19]


def test_a_broken_message_is_shown_as_far_as_it_goes(box: Box) -> None:
    cases = [
        (b"", ""),
        (b"\n", ""),
        (b"\r\n\r\nbody", "\nbody"),
        (b"no header at all", ""),
        (b"Subject: x\n\nbody", "body"),
        (b"Content-Type: multipart/mixed\n\nno boundary stated", "no boundary stated"),
        (b'Content-Type: multipart/mixed; boundary=""\n\n--\n\nempty boundary', "--\n\nempty boundary"),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nnever closed", "never closed"),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\n\ntwo\n--x--", "one\n\ntwo"),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--x--\n\nafter the end", ""),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--xy\n--x\n\nreal\n--x-- trailing\n", "real\n--x-- trailing\n"),
        (b"Content-Type: multipart/mixed; boundary=x", ""),
        (b"Content-Type: ;;;\n\nbody", ""),
        (b"Content-Type: text/plain; charset=no-such\n\nGr\xfc\xdfe", "Grüße"),
        (b"Content-Type: text/plain; charset=zip\n\nbody", "body"),
        (b"Content-Transfer-Encoding: base64\n\n!!!!", ""),
        (b"Content-Transfer-Encoding: base64\n\nYWJj\nZGV", "abcde"),
        (b"Content-Transfer-Encoding: x-unknown\n\nas it is", "as it is"),
        (b"Content-Transfer-Encoding: quoted-printable\n\n=ZZ =\n=41=", "=ZZ A"),
        (b"\xff\xfe\x00: \x00\n\n\x00\x01", "\ufffd\ufffd"),
    ]
    with collected() as case:
        for data, text in cases:
            with case(data, text):
                assert box.read(data).text == text


def test_a_boundary_that_is_used_twice_still_ends(box: Box) -> None:
    inner = b"--x\nContent-Type: multipart/mixed; boundary=x\n\n"
    message = box.read(b"Content-Type: multipart/mixed; boundary=x\n\n" + inner * 3 + b"--x\n\nfound\n--x--\n")
    assert "found" in message.text


def test_a_message_within_a_message_is_an_attachment(box: Box) -> None:
    data = b"Content-Type: multipart/digest; boundary=x\n\n--x\nContent-Type: message/rfc822\n\n" + MIXED + b"\n--x--"
    message = box.read(data)
    assert [(a.filename, a.media_type) for a in message.attachments] == [("attachment-1.eml", "message/rfc822")]
    assert message.text == ""


def test_a_header_without_end_is_cut_and_the_body_still_found(box: Box) -> None:
    data = b"Subject: seen\nX-Long: " + b"x" * 10_000_000 + b"\nFrom: late\n\nthe body"
    message = box.read(data)
    assert message.headers == {"Subject": "seen"}
    assert message.text == "the body"
    assert message.problems == ("headers_cut",)


def test_too_many_parts_are_cut_and_reported(box: Box) -> None:
    data = b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\nContent-Type: image/png\n\ndata\n" * 5000
    message = box.read(data)
    assert len(message.attachments) == 99
    assert message.problems == ("parts_cut",)


def test_too_deep_nesting_is_cut_and_reported(box: Box) -> None:
    data = (
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(90)) + b"\ninnermost"
    )
    message = box.read(data)
    assert message.problems == ("depth_cut",)
    assert message.text == ""
    assert [a.media_type for a in message.attachments] == ["application/octet-stream"]


def test_a_long_text_is_cut_and_reported(box: Box) -> None:
    message = box.read(b"Subject: x\n\n" + b"a" * 3000, Limits(text_bytes=1000))
    assert message.text == "a" * 1000
    assert message.problems == ("text_cut",)


def test_header_values_are_always_one_line(box: Box) -> None:
    message = box.read(b"Subject: =?utf-8?q?a=0D=0ABcc:_x=00=1B[31m?=\nTo: a\n b\n\tc\nFrom: \xff\xfe\n\n")
    assert message.headers["Subject"] == "a Bcc: x [31m"
    assert message.headers["To"] == "a b c"
    assert all(value.isprintable() for value in message.headers.values())


def test_encoded_words_are_decoded() -> None:
    cases = [
        ("=?utf-8?q?caf=C3=A9?=", "café"),
        ("=?UTF-8*de?Q?caf=C3=A9?= and", "café and"),
        ("=?utf-8?b?w?= =?utf-8?b?6Q==?=", "\ufffd"),
        ("=?utf-8?q?a=C3?= =?utf-8?q?=A9b?=", "aéb"),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        ("=?no-such?q?abc?=", "abc"),
        ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        ("=?=?=?", "=?=?=?"),
        ("plain", "plain"),
    ]
    with collected() as case:
        for value, expected in cases:
            with case(value, expected):
                assert _headers.decoded(value) == expected


def test_parameters_of_a_header_are_read() -> None:
    cases = [
        ('attachment; filename="a;b\\"c.pdf"', {"filename": 'a;b"c.pdf'}),
        ("attachment; filename=plain.pdf; size=3", {"filename": "plain.pdf", "size": "3"}),
        ("x; filename*=utf-8'en'%E2%82%AC.txt", {"filename": "€.txt"}),
        ("x; filename*1=b; filename*0=a", {"filename": "ab"}),
        ('x; filename="=?utf-8?q?=E2=82=AC?="', {"filename": "€"}),
        ('x; filename="never closed', {"filename": "never closed"}),
        ("x; a=1; a=2", {"a": "1"}),
        ("x; filename*99999999999999999999=a", {"filename": "a"}),
        (";;;===;", {}),
    ]
    with collected() as case:
        for value, expected in cases:
            with case(value, expected):
                assert _headers.parameters(value) == expected


def test_an_invalid_date_is_left_empty() -> None:
    cases = [
        "",
        "yesterday",
        "Mon, 99 Nov 2026 99:99:99",
        "1 Jan 99999 00:00 +0000",
        "Mon, 1 Jan 2026 00:00 +9999999",
        "Fri, 31 Dec 9999 23:59:59 -1400",
        "\x00" * 99,
    ]
    with collected() as case:
        for date in cases:
            with case(date):
                assert _headers.sent_at({"date": date}) is None


def attack_boundaries() -> bytes:
    return b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--xy\n--x- \n" * 4_000_000


def attack_blank_lines() -> bytes:
    return b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\n" + b"\n" * 40_000_000


def attack_parts_with_long_headers() -> bytes:
    part = b"--x\nContent-Type: text/html;" + b' a="' * 5000 + b"\n" + b"to:x\n" * 90_000 + b"\n\n"
    return b"Content-Type: multipart/mixed; boundary=x\n\n" + part * 60


def attack_encoded_words() -> bytes:
    return b"Subject: " + b"=?x?q?" * 10_000 + b"\nFrom: " + b"=?utf-8?b?YQ==?= " * 5000 + b"\n\nx"


def attack_dashes() -> bytes:
    return b'Content-Type: multipart/mixed; boundary="' + b"-" * 190 + b'"\n\n' + (b"\n" + b"-" * 191) * 200_000


def attack_base64_noise() -> bytes:
    return b"Content-Type: x/y\nContent-Transfer-Encoding: base64\n\n" + b"A!" * 20_000_000


def attack_quoted_printable_line() -> bytes:
    return b"Content-Type: x/y\nContent-Transfer-Encoding: quoted-printable\n\n" + b"=4" * 15_000_000


def attack_deep_html() -> bytes:
    return b"Content-Type: text/html\n\n" + b"<div>" * 200_000


def attack_formatting_html() -> bytes:
    fonts = b"".join(b'<b dir="%d">' % n for n in range(90))
    return b"Content-Type: text/html\n\n<p>" + fonts + b"<div>x</div>" * 20_000


def attack_formatting_table_html() -> bytes:
    fonts = b"".join(b'<b dir="%d">' % n for n in range(90))
    return b"Content-Type: text/html\n\n<table>" + fonts + b"<tr>x" * 40_000


def attack_attributes_html() -> bytes:
    return b"Content-Type: text/html\n\n<a " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">"


def attack_unclosed_html() -> bytes:
    return b"Content-Type: text/html\n\n" + b"<!--" * 10_000 + b'<a b="' * 10_000 + b"<script>" * 10_000 + b"<" * 90_000


def honest() -> bytes:
    """Return a large but ordinary message with a text, an HTML page and attachments."""
    text = b"Your invoice is attached to this message, as you wished.\n" * 10_000
    row = (
        b'<tr><td style="color:#333"><p>Your <b>invoice</b> is <a href="https://x.example/1">here</a>.</p></td></tr>\n'
    )
    head = b"Content-Disposition: attachment; filename=a.pdf\nContent-Transfer-Encoding: base64\n\n"
    attached = b"--x\nContent-Type: application/pdf\n" + head + (b"QUJD" * 19 + b"\n") * 5_000
    first = b"--x\nContent-Type: text/plain\n\n" + text + b"--x\nContent-Type: text/html\n\n<table>" + row * 2_000
    return b"Content-Type: multipart/mixed; boundary=x\n\n" + first + attached * 90 + b"--x--\n"


def _spent(box: Box, data: bytes) -> float:
    """Return the processor time, in seconds, that it takes to list and read this message."""
    maildir = box.put(data)
    started = time.process_time()
    maildir.list(LOCATOR)
    message = maildir.message(LOCATOR, NAME)
    spent = time.process_time() - started
    assert len(message.html) < 6_000_000
    return spent


@pytest.mark.slow
def test_no_message_costs_more_than_a_moment(box: Box) -> None:
    """Hostile messages are compared with a large ordinary message, so that the machine's speed does not matter."""
    attacks = {name: attack for name, attack in globals().items() if name.startswith("attack_")}
    assert len(attacks) == 12
    moment = max(_spent(box, honest()), 0.5)
    costs = {name: _spent(box, attack()) for name, attack in attacks.items()}
    assert {name: cost / moment for name, cost in costs.items() if cost > 4 * moment} == {}


def test_streams_hold_one_block_however_large_the_item(box: Box) -> None:
    size = 24 * 1024 * 1024
    line = b"QUJD" * 19 + b"\r\n"
    head = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: x/y\r\n"
    data = head + b"Content-Transfer-Encoding: base64\r\n\r\n" + line * (size // len(line)) + b"\r\n--x--\r\n"
    maildir = box.put(data)
    for part, least in ((None, len(data)), ("1", size // 2)):
        tracemalloc.start()
        try:
            with maildir.open(LOCATOR, NAME, part=part) as stream:
                total = sum(len(chunk) for chunk in stream.chunks)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert total >= least
        assert peak < 1024 * 1024
    tracemalloc.start()
    try:
        assert maildir.message(LOCATOR, NAME).attachments[0].size > size // 2
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=60)
names = st.from_regex(r"[a-zäöü€ ]{1,30}\.(pdf|bin)", fullmatch=True).filter(
    lambda name: " ".join(name.split()) == name
)


@pytest.mark.slow
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    subject=texts,
    body=texts,
    attached=st.lists(
        st.tuples(names, st.binary(max_size=5000), st.sampled_from(["base64", "quoted-printable"])), max_size=4
    ),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
)
def test_mail_written_by_the_standard_library_is_read_back(
    box: Box, subject: str, body: str, attached: list[tuple[str, bytes, str]], line_end: bytes
) -> None:
    message = email.message.EmailMessage()
    message["Subject"] = subject
    message.set_content(body)
    for name, data, encoding in attached:
        message.add_attachment(data, maintype="application", subtype="x", filename=name, cte=encoding)
    raw = message.as_bytes(policy=email.policy.SMTP.clone(linesep=line_end.decode()))
    found = box.read(raw)
    assert found.headers.get("Subject", "") == " ".join(subject.split())
    assert found.text.rstrip("\n") == body.rstrip("\n")
    assert [(a.filename, a.size) for a in found.attachments] == [(name, len(data)) for name, data, _ in attached]
    for attachment, (_name, data, _encoding) in zip(found.attachments, attached, strict=True):
        assert box.part(raw, attachment.part) == data


STRUCTURE = [b"\n", b"\r\n", b"\n\n", b"--x", b"--y", b"--x--", b"multipart/mixed; boundary=x", b"Content-Type: "]
STRUCTURE += [
    b"multipart/alternative; boundary=y",
    b"text/html",
    b"Content-Transfer-Encoding: base64",
    b"quoted-printable",
]
STRUCTURE += [b"Content-Transfer-Encoding: base64"]
CONTENT = [b"=?utf-8?q?", b"?=", b"Subject: ", b"From: ", b"<script>", b"<img src=x onerror=y>", b"filename*0*=", b"''"]
PIECES = [*STRUCTURE, *CONTENT, b"=", b"%", b";", b'"', b"\\"]
#: What each character means. So a message is drawn as one text: a list of pieces would take several times as long to
#: draw. Nearly half of all characters are pieces, because each has four codes. The others are single bytes.
BYTES_OF = {chr(0xE000 + number): piece for number, piece in enumerate(PIECES * 4)}
BYTES_OF |= {chr(byte): bytes([byte]) for byte in (*range(128), 0x80, 0x9F, 0xA0, 0xC3, 0xE9, 0xFF)}
#: Is replaced with any bytes.
ANYTHING = "\ue100"


@pytest.mark.slow
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.text([*BYTES_OF, ANYTHING], max_size=50), st.binary(max_size=12))
def test_no_bytes_at_all_break_it(box: Box, codes: str, anything: bytes) -> None:
    maildir = box.put(b"".join(BYTES_OF.get(code, anything) for code in codes))
    try:
        message = maildir.message(LOCATOR, NAME)
    except ItemUnreadable:
        # The message begins like a compressed file.
        assert maildir.list(LOCATOR).unlisted <= 1
        return
    assert maildir.list(LOCATOR).items == (message.item,)
    for attachment in message.attachments:
        with maildir.open(LOCATOR, NAME, part=attachment.part) as stream:
            assert sum(len(chunk) for chunk in stream.chunks) == attachment.size
    shown = [message.text, message.html, *message.headers.values(), *(a.filename for a in message.attachments)]
    for value in shown:
        value.encode("utf-8")
        assert "\x00" not in value
        assert "\r" not in value


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([b"=", b"4", b"1", b"=41", b"\n", b"YWJj"]) | st.binary(max_size=40), max_size=12),
    st.sampled_from(["base64", "quoted-printable"]),
)
def test_decoding_does_not_depend_on_where_the_blocks_end(pieces: list[bytes], encoding: str) -> None:
    decode = {"base64": _mime._from_base64, "quoted-printable": _mime._from_quoted_printable}[encoding]
    data = b"".join(pieces).replace(b"\r", b"")
    # "==" is not valid quoted-printable, and the standard library guesses its meaning from the text after it.
    assume(b"==" not in data)
    once = b"".join(decode(iter([data])))
    split = b"".join(decode(iter(pieces and [piece.replace(b"\r", b"") for piece in pieces])))
    assert split == once


def test_blocks_may_end_anywhere_in_the_structure(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser reads blocks that overlap. In this test, a block ends once at each position of the message."""
    expected = box.read(MIXED)
    for size in range(1, 60):
        monkeypatch.setattr(_mime, "_BLOCK", size)
        assert box.read(MIXED) == expected
