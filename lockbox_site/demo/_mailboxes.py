"""Makes Maildir mailboxes from the scripts of the demo's mail.

A script is a text file. A thread begins with the lines "== subject" and "@ days hour:minute". The days
count back from ANCHOR. A message begins with "<" and a role, if that role sent it to the mailbox, or with
">", if the mailbox sent it. Options follow on the same line: "+5" (at least five hours after the previous
message), "html", "baddate", and files such as "pdf:Name.pdf". The next lines are the message's text. Words
in braces are replaced by the tenant's own words.
"""

import email.message
import email.policy
import email.utils
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

from lockbox_site.demo import _bytes

SCRIPTS = Path(__file__).parent / "scripts"
ANCHOR = datetime(2026, 11, 24, tzinfo=UTC)
_UNREAD = 3  # the newest messages of each mailbox


@dataclass(frozen=True)
class Written:
    """One message, as a script describes it."""

    thread: str  # the same for all messages of one thread, and different for each thread
    subject: str
    position: int  # the position in the thread
    at: datetime
    role: str  # the writer's role; empty for the mailbox's owner
    answered: str  # the role that wrote the last received message
    options: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()  # (kind, file name)
    text: str = field(default="")


def written(script: str, facts: Mapping[str, str]) -> Iterator[Written]:
    """Yield the messages of one script. `facts` has the tenant's words, which replace the words in braces."""
    text = (SCRIPTS / f"{script}.txt").read_text(encoding="utf-8").format(**facts)
    for thread in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        subject, when, rest = thread.split("\n", 2)
        days, clock = when.removeprefix("@ ").split()
        hour, minute = clock.split(":")
        at = ANCHOR - timedelta(days=int(days)) + timedelta(hours=int(hour), minutes=int(minute))
        at -= timedelta(days=max(0, at.weekday() - 4))  # people write on working days
        key, answered = f"{script} {subject} {when}", ""
        for position, block in enumerate(re.split(r"^(?=[<>](?: |$))", rest, flags=re.MULTILINE)[1:]):
            head, _, body = block.partition("\n")
            words = head[1:].split()
            role = words.pop(0) if head[0] == "<" else ""
            at += timedelta(hours=sum(int(word) for word in words if word[0] == "+"))
            files = tuple((kind, name) for kind, _, name in (word.partition(":") for word in words) if name)
            plain = tuple(word for word in words if word.isalpha())
            answered = role or answered
            moment = at + timedelta(minutes=position * 7)
            yield Written(key, subject, position, moment, role, answered, plain, files, body.strip())


def build(path: Path, owner: tuple[str, str], script: str, facts: Mapping[str, str]) -> None:
    """Write one mailbox. Messages that exist already, read or unread, are not changed."""
    messages = list(written(script, facts))
    newest = {id(one) for one in sorted((m for m in messages if m.role), key=lambda m: m.at)[-_UNREAD:]}
    for box in (path, path / ".Sent"):
        for place in ("cur", "new", "tmp"):
            (box / place).mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(messages):
        box = path if one.role else path / ".Sent"
        unique = f"{int(one.at.timestamp())}.M{number:06}P1.demo"
        if any(box.glob(f"cur/{unique}:*")) or (box / "new" / unique).exists():
            continue
        # Written in `tmp` and then renamed, as Maildir requires, so that nobody reads half a message.
        (box / "tmp" / unique).write_bytes(_raw(one, owner, facts))
        (box / "tmp" / unique).rename(box / "new" / unique if id(one) in newest else box / "cur" / f"{unique}:2,S")


def _raw(one: Written, owner: tuple[str, str], facts: Mapping[str, str]) -> bytes:
    sender = (facts[f"{one.role}_name"], facts[one.role]) if one.role else owner
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    if one.role:
        domain = sender[1].rpartition("@")[2]
        stamp = email.utils.format_datetime(one.at)
        message["Received"] = f"from mail.{domain} by mx.{owner[1].rpartition('@')[2]} with ESMTPS; {stamp}"
    message["From"] = email.utils.formataddr(sender)
    message["To"] = email.utils.formataddr(owner if one.role else (facts[f"{one.answered}_name"], facts[one.answered]))
    message["Subject"] = one.subject if one.position == 0 or one.subject.startswith("Re: ") else f"Re: {one.subject}"
    message["Message-ID"] = _message_id(one, owner, one.position)
    if one.position:
        message["In-Reply-To"] = _message_id(one, owner, one.position - 1)
        message["References"] = " ".join(_message_id(one, owner, earlier) for earlier in range(one.position))
    message.set_content(one.text + "\n")
    if "html" in one.options:
        message.add_alternative(_html(one), subtype="html")
    for kind, name in one.files:
        main, sub, data = _file(kind, name, one)
        message.add_attachment(data, maintype=main, subtype=sub, filename=name)
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(
            f"=_{_digest(one, owner, one.position)}_{number}"
        )  # a random boundary would make another message each time
    # The library refuses to write an invalid date. The script has a sender with a machine that writes one.
    date = "Fri 20-Nov-26 25:61" if "baddate" in one.options else email.utils.format_datetime(one.at)
    return f"Date: {date}\r\n".encode() + message.as_bytes()


def _digest(one: Written, owner: tuple[str, str], position: int) -> str:
    return hashlib.sha256(f"{owner[1]} {one.thread} {position}".encode()).hexdigest()[:24]


def _message_id(one: Written, owner: tuple[str, str], position: int) -> str:
    return f"<{_digest(one, owner, position)}@{owner[1].rpartition('@')[2]}>"


def _html(one: Written) -> str:
    """Return the message's text as the HTML of a typical newsletter: with a table, a style, and a tracking picture."""
    paragraphs = "".join(f"<p style='margin:0 0 12px'>{escape(part)}</p>" for part in one.text.split("\n\n"))
    return (
        "<html><head><style>body{font-family:Arial}</style></head><body><table width='100%'><tr><td>"
        f"<h2>{escape(one.subject)}</h2>{paragraphs}"
        "<p><a href='https://portal.example/details?ref=1'>Open in the portal</a></p>"
        "<img src='https://portal.example/open.gif' width='1' height='1' alt=''></td></tr></table></body></html>\n"
    )


def _file(kind: str, name: str, one: Written) -> tuple[str, str, bytes]:
    title = name.rpartition(".")[0].replace("-", " ")
    if kind == "pdf":
        return "application", "pdf", _bytes.pdf(title, [one.subject, "", *one.text.splitlines()])
    if kind == "png":
        return "image", "png", _bytes.png_chart([(len(title) * 13 + step * 29) % 80 + 15 for step in range(8)])
    if kind == "csv":
        rows = [
            [f"{number:03}", f"{one.at:%Y-%m-%d}", f"{(number * 7919 + len(title)) % 9000 / 7:.2f}"]
            for number in range(1, 26)
        ]
        return "text", "csv", _bytes.csv([["no", "date", "amount"], *rows])
    if kind == "docx":
        sub = "vnd.openxmlformats-officedocument.wordprocessingml.document"
        return "application", sub, _bytes.docx([title, *one.text.splitlines()])
    if kind == "txt":
        return "text", "plain", f"{title}\n\n{one.text}\n".encode()
    return "application", "pdf", b""
