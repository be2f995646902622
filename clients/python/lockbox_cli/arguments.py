"""The arguments and options of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NoReturn
from uuid import UUID

from lockbox_cli import acts, log, login, requests, tickets, windows
from lockbox_cli.errors import Usage

Run = Callable[..., None]
_OF_WINDOWS = ("release", "revoke")
_EPILOG = """exit status: 0 done, 1 refused, 2 wrong usage, 3 not signed in, 4 not reachable
environment: LOCKBOX_URL, LOCKBOX_TOKEN (in place of lockbox login), NO_COLOR, SSL_CERT_FILE"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="show JSON")
    main = _Parser(
        prog="lockbox",
        description="Customer Lockbox from the terminal.",
        epilog=_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    words = main.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _accounts(words, common)
    _tickets(words, common)
    _requests(words, common)
    _log(words, common)
    return main


def _command(words: Any, name: str, run: Run, common: argparse.ArgumentParser, help: str, **options: Any) -> Any:
    found = words.add_parser(
        name, help=help, description=f"{help[0].upper()}{help[1:]}.", parents=[common], allow_abbrev=False
    )
    found.set_defaults(run=run, **options)
    return found


def _group(words: Any, name: str, help: str) -> Any:
    found = words.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.", allow_abbrev=False)
    return found.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _accounts(words: Any, common: argparse.ArgumentParser) -> None:
    found = _command(words, "login", login.login, common, "sign in, and save the token", without_session=True)
    found.add_argument("url", nargs="?", help="address of the installation, as in https://lockbox.example")
    found.add_argument(
        "--client", metavar="ID", help="sign in as this client; the program asks for the client's secret"
    )
    _command(words, "logout", login.logout, common, "delete the saved token", without_session=True)
    _command(words, "whoami", login.whoami, common, "show to whom the token belongs, and what it can do")


def _requests(words: Any, common: argparse.ArgumentParser) -> None:
    inner = _group(words, "requests", "list, read, submit, approve and deny access requests")
    found = _command(inner, "list", requests.list_, common, "list access requests, newest first")
    found.add_argument("--state", choices=[name.lower().replace("_", "-") for name in requests.STATES])
    found.add_argument("--ticket", type=uuid, metavar="ID")
    found.add_argument("--tenant", type=uuid, metavar="ID")
    found.add_argument("--reference")
    found.add_argument("--since", type=moment, metavar="TIME", help="submitted at this time or later (ISO 8601)")
    found.add_argument("--before", type=moment, metavar="TIME")
    found.add_argument("--order", choices=["-submitted_at", "submitted_at", "decide_by"])
    _limit(found)
    _one(_command(inner, "show", requests.show, common, "show one access request"))

    found = _command(inner, "submit", requests.submit, common, "submit an access request")
    found.add_argument("--ticket", type=uuid, metavar="ID", help="the ticket to which the access request belongs")
    found.add_argument("--resource", type=uuid, metavar="ID", action="append", required=True, help="can be repeated")
    found.add_argument("--level", choices=["names", "view", "read", "act_as"], default="names", help="default: names")
    found.add_argument("--minutes", type=whole, required=True, help="length of the window")
    found.add_argument("--tried", required=True, help="what the engineer tried first, without access")
    found.add_argument("--justification", required=True, help="why there is no other way")
    found.add_argument("--previous", type=uuid, metavar="ID", help="the earlier access request that this one continues")
    found.add_argument(
        "--engineer", metavar="ID|ADDRESS", help="for clients only: the engineer for whom the client asks"
    )
    demand = found.add_argument_group("law-enforcement demand, instead of a ticket")
    demand.add_argument("--tenant", type=uuid, metavar="ID")
    demand.add_argument("--service", type=uuid, metavar="ID")
    demand.add_argument("--authority")
    demand.add_argument("--instrument")
    demand.add_argument("--demand-reference", metavar="REFERENCE")
    demand.add_argument("--demand-date", type=date.fromisoformat, metavar="YYYY-MM-DD")

    for name, run, help in (
        ("approve", requests.approve, "approve an access request, for your tenant or for the provider"),
        ("deny", requests.deny, "deny an access request, for your tenant or for the provider"),
    ):
        found = _command(inner, name, run, common, help)
        _one(found)
        _comment(found)
        found.add_argument("--yes", action="store_true", help="do not ask for confirmation")
        found.add_argument("--etag", help="decide only if the access request has not changed since you read this ETag")
    for verb in acts.verbs("access_requests"):
        # An act that ends a window is a command of its own, like `windows`.
        place = words if verb.word in _OF_WINDOWS else inner
        found = _command(place, verb.word, requests.act, common, verb.help, verb=verb)
        _one(found)
        verb.add_options(found)

    found = _command(
        words, "windows", windows.windows, common, "list open windows, or show the accesses to content in one window"
    )
    found.add_argument(
        "request", nargs="?", metavar="REQUEST", help="only the window of the access request with this reference or id"
    )
    found.add_argument("--all", action="store_true", help="also list closed windows")
    _limit(found)


def _tickets(words: Any, common: argparse.ArgumentParser) -> None:
    inner = _group(words, "tickets", "list and read tickets, open a new ticket, and comment on a ticket")
    found = _command(inner, "list", tickets.list_, common, "list open tickets, the latest change first")
    found.add_argument("--state", choices=[name.lower().replace("_", "-") for name in tickets.STATES])
    found.add_argument("--all", action="store_true", help="also list resolved and closed tickets")
    found.add_argument("--tenant", type=uuid, metavar="ID")
    found.add_argument(
        "--elsewhere", metavar="REFERENCE", help="only the ticket that has this reference in another system"
    )
    _limit(found)
    _ticket(_command(inner, "show", tickets.show, common, "show one ticket and its conversation"))

    found = _command(inner, "open", tickets.open_, common, "open a ticket")
    found.add_argument(
        "--tenant", type=uuid, metavar="ID", help="the tenant (default: your tenant, if you have only one)"
    )
    found.add_argument("--service", required=True, help="the key or the id of the service")
    found.add_argument("--title", required=True)
    found.add_argument(
        "--body", required=True, metavar="TEXT", help="the text, or - to read the text from standard input"
    )
    found.add_argument("--priority", choices=["low", "normal", "high"], default="normal")
    found.add_argument(
        "--on-behalf-of",
        metavar="ID|ADDRESS",
        help="only for the provider: the person who called or wrote for the customer",
    )
    _elsewhere(found)

    found = _command(inner, "comment", tickets.comment, common, "add a comment to a ticket")
    _ticket(found)
    found.add_argument("text", metavar="TEXT", help="the text, or - to read the text from standard input")
    found.add_argument("--internal", action="store_true", help="only the provider's side can read the text")
    found = _command(inner, "link", tickets.link, common, "set the ticket's reference in another system")
    _ticket(found)
    _elsewhere(found)
    for verb in acts.verbs("tickets"):
        found = _command(inner, verb.word, tickets.act, common, verb.help, verb=verb)
        _ticket(found)
        verb.add_options(found)


def _log(words: Any, common: argparse.ArgumentParser) -> None:
    inner = _group(words, "log", "read a log")
    found = _command(inner, "tail", log.tail, common, "show the newest entries (with --json: as JSON Lines)")
    _whose(found)
    found.add_argument("-n", "--number", type=whole, default=10, metavar="N", help="number of entries (default: 10)")
    found.add_argument("-f", "--follow", action="store_true", help="also show new entries as they arrive")
    found = _command(inner, "export", log.export, common, "write entries as JSON Lines, with the text that was hashed")
    _whose(found)
    found.add_argument("--after", type=int, metavar="SEQ", help="only entries with a higher number than this")
    found.add_argument("-o", "--output", metavar="FILE", help="a new file (default: standard output)")
    found = _command(words, "watch", log.watch, common, "show events as they happen (with --json: as JSON Lines)")
    found.add_argument(
        "--tenant", type=uuid, metavar="ID", help="the tenant (default: your tenant, if you have only one)"
    )
    found.add_argument(
        "--after", metavar="CURSOR", help="show events after this cursor; 0 is the beginning (default: now)"
    )
    found.add_argument(
        "--type", action="append", metavar="EVENT", help="only these events, such as grant.revoked; can be repeated"
    )
    found.add_argument("--count", type=whole, metavar="N", help="end after this number of events")


def _whose(found: Any) -> None:
    whose = found.add_mutually_exclusive_group()
    whose.add_argument(
        "--tenant", type=uuid, metavar="ID", help="the tenant (default: your tenant, if you have only one)"
    )
    whose.add_argument("--provider", action="store_true", help="the provider's own log; only staff can read it")


def _ticket(found: Any) -> None:
    found.add_argument("ticket", metavar="TICKET", help="reference or id")


def _elsewhere(found: Any) -> None:
    found.add_argument(
        "--external-reference", default="", metavar="REFERENCE", help="the reference in the other system"
    )
    found.add_argument("--external-url", default="", metavar="URL", help="the address in the other system")


def _one(found: Any) -> None:
    found.add_argument("request", metavar="REQUEST", help="reference or id of the access request")


def _comment(found: Any) -> None:
    found.add_argument("--comment", default="", metavar="TEXT")


def _limit(found: Any) -> None:
    found.add_argument("--limit", type=whole, default=50, metavar="N", help="list at most this number (default: 50)")


def uuid(given: str) -> UUID:
    return UUID(given)


def whole(given: str) -> int:
    found = int(given)
    if found < 1:
        raise ValueError
    return found


def moment(given: str) -> datetime:
    """Parse an ISO 8601 time. A time without a zone is in this machine's zone."""
    return datetime.fromisoformat(given).astimezone()
