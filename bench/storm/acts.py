"""What the callers do. Each client is one thread. It plays a few people, and chooses its acts at random."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from bench.storm.calling import Answer, Browser, Form, Line, forms_of
from bench.storm.journal import Call, IntendedAct, Journal, Outcome, code_of, judged
from bench.storm.people import Asked, Board, Cast, Machine, Person, Ticket

AZURE = "providers/Microsoft.CustomerLockbox"
API_VERSION = "api-version=2018-02-28-preview"
SCIM_USER, SCIM_PATCH = (
    "urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:api:messages:2.0:PatchOp",
)  # fmt: skip
#: A comment or an answer: the same act is an answer if the ticket waits for one.
COMMENTED = "ticket.said"
LIVE = ("NEW", "ASSIGNED", "WAITING_FOR_CUSTOMER")
#: How often a caller tries an act if nothing was changed or no response came.
TRIES = 3
#: How many people of a client are signed in at the beginning, and how many seconds each may take.
ARRIVED, ARRIVES_WITHIN = 2, 20.0
#: Only one command runs at a time, because a starting process would take all processor time.
_ONE_COMMAND = threading.Semaphore(1)


@dataclass
class StormTarget:
    """What every client knows about the installation under test."""

    port: int
    tree: Path
    #: The directory with the generated part of the command line.
    client: Path
    env: dict[str, str]
    windows: tuple[int, ...]
    pace: float

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Client:
    """One of the sixteen clients. `chores` lists its acts, and how often each is chosen."""

    def __init__(
        self, number: int, seed: int, target: StormTarget, cast: Cast, board: Board, journal: Journal,
        people: list[Person], stop: threading.Event,
    ) -> None:  # fmt: skip
        self.number, self.target, self.cast, self.board, self.journal = number, target, cast, board, journal
        self.people, self.stop = people, stop
        self.dice = random.Random(f"{seed}/{number}")
        self.line = Line(target.port, f"10.9.{number}.1")
        self.browser_line = Line(target.port, f"10.9.{number}.2")
        self.seen_events: dict[str, int] = {}
        self.crashes: list[str] = []
        #: How many acts were tried. If the number does not grow, a chore had nothing to do.
        self.tried = 0

    # --- The loop ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        while not self.stop.is_set():
            # If a person has nothing to do, or their app shows no new code yet, another person acts.
            for _ in range(6):
                tried = self.tried
                self._one()
                if self.tried > tried or self.stop.is_set():
                    break
            self.stop.wait(self.dice.uniform(0.3, 1.7) * self.target.pace)
        self.line.hang_up()
        self.browser_line.hang_up()

    def arrive(self) -> None:
        """Sign in some of the people before the storm, as if they were already at work."""
        for person in self.people[:ARRIVED]:
            until = time.monotonic() + ARRIVES_WITHIN
            while self._browser(person) is None and time.monotonic() < until:
                time.sleep(0.5)

    def _one(self) -> None:
        person = self.dice.choices(self.people, [self._weight(each) for each in self.people])[0]
        chore = self._chore(person)
        try:
            chore()
        # an error of the storm's own code: the report shows it, and does not count it as a response
        except Exception as crash:
            self.crashes.append(f"{crash!r} {traceback.format_exc()[-700:]}")

    @staticmethod
    def _weight(person: Person) -> int:
        if person.is_a("provider_approver"):
            return 8
        return 5 if person.is_a("engineer") else 4 if person.is_a("approver") else 2

    def _chore(self, person: Person) -> Callable[[], None]:
        found = [(act, weight) for act, weight in self._chores(person)]
        act = self.dice.choices([act for act, _w in found], [weight for _a, weight in found])[0]
        return lambda: act(person)

    def _chores(self, person: Person) -> Sequence[tuple[Callable[[Person], None], int]]:
        if person.is_a("staff"):
            return [(self.admin_comment, 4), (self.admin_revoke, 3), (self.admin_close_ticket, 1),
                    (self.admin_open_ticket, 3), (self.manage_export, 1)]  # fmt: skip
        if person.is_a("provider_approver"):
            return [(self.decide_api, 5), (self.decide_page, 4), (self.decide_cli, 1), (self.revoke_api, 1)]
        if person.is_a("engineer"):
            return [(self.submit_api, 8), (self.submit_page, 5), (self.work_ticket, 4), (self.comment_api, 3),
                    (self.comment_page, 2), (self.comment_cli, 1), (self.look, 7), (self.download, 3),
                    (self.release, 3), (self.withdraw, 1)]  # fmt: skip
        if person.is_a("administrator"):
            return [(self.provision, 6), (self.comment_api, 1), (self.open_ticket_page, 1)]
        if person.is_a("auditor"):
            return [(self.export_api, 3), (self.export_page, 2), (self.evidence, 1), (self.long_poll, 3),
                    (self.evaluate, 3)]  # fmt: skip
        chores = [(self.open_ticket_api, 3), (self.open_ticket_page, 1), (self.comment_api, 3), (self.comment_page, 1),
               (self.answer_ticket, 2), (self.comment_cli, 1)]  # fmt: skip
        if person.is_a("approver"):
            return [(self.decide_api, 4), (self.decide_page, 4), (self.decide_azure, 4), (self.decide_machine, 1),
                    (self.revoke_api, 2), (self.revoke_page, 1)]  # fmt: skip
        return chores

    # --- Acting, and recording the response --------------------------------------------------------------------

    def _act(self, door: str, name: str, who: str, tenant: str, event: str, mark: str = "") -> IntendedAct:
        number = self.journal.number()
        return IntendedAct(number, self.number, door, name, who, tenant, event, mark, f"K{number:06}Q")

    def _try(
        self, act: IntendedAct, send: Callable[[], Answer], *, is_repeatable: bool,
        refusals: frozenset[int] = frozenset(),
    ) -> Answer:  # fmt: skip
        """Send the call. If a repetition is safe, repeat it with the same key until the outcome is known."""
        self.tried += 1
        for attempt in range(1, TRIES + 1):
            begun = time.time()
            answer = send()
            outcome = judged(answer, refusals=refusals)
            act.calls.append(
                Call(
                    begun, time.time(), answer.status, code_of(answer) or answer.lost, outcome.value,
                    "" if answer.is_well else _words(answer),
                    answer.headers.get("idempotency-replayed", "").lower() == "true",
                )
            )  # fmt: skip
            if outcome in (Outcome.DONE, Outcome.REFUSED, Outcome.WRONG):
                break
            # Half of the callers without a response give up. For their acts, only the log shows the outcome.
            gives_up = attempt == 1 and outcome is not Outcome.BUSY and self.dice.random() < 0.5
            if not is_repeatable or gives_up or attempt == TRIES or self.stop.wait(1.0):
                break
        self.journal.add(act)
        return answer

    def _api(
        self, act: IntendedAct, who: Person | Machine, method: str, path: str, body: Any = None, *,
        refusals: frozenset[int] = frozenset(), scim: bool = False, **headers: str,
    ) -> Answer:  # fmt: skip
        """Call the API. The Idempotency-Key is the key of the act."""
        token = who.token or self._token_of(who)  # type: ignore[arg-type]  # a person has a token from the beginning
        if not token:
            return Answer(0, lost="no token")
        sent = {"Authorization": f"Bearer {token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        content = None
        if body is not None:
            sent["Content-Type"] = "application/scim+json" if scim else "application/json"
            content = json.dumps(body).encode()
        if method == "POST" and act.changes and not scim:
            sent["Idempotency-Key"] = f"{act.key}-storm"
        # Without a key, a second try would be a second act, for example a second export.
        is_repeatable = "Idempotency-Key" in sent
        return self._try(
            act, lambda: self.line.call(method, path, content, sent), is_repeatable=is_repeatable, refusals=refusals
        )

    def _token_of(self, machine: Machine) -> str:
        form = urlencode({"grant_type": "client_credentials", "client_id": machine.id, "client_secret": machine.secret})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        act = self._act("api", "token", machine.name, machine.tenant, "")
        answer = self._try(
            act, lambda: self.line.call("POST", "/oauth/token", form.encode(), headers), is_repeatable=False
        )
        if answer.status == 200:
            machine.token = json.loads(answer.body)["access_token"]
        return machine.token

    def _read(self, who: Person | Machine, path: str, name: str) -> Answer:
        return self._api(self._act("api", name, who.name, who.tenant, ""), who, "GET", path)

    def _proven(self, person: Person) -> bool:
        """Confirm with password and code, unless a recent confirmation still counts.

        Return whether the person is confirmed now.
        """
        if person.token_is_proven:
            return True
        code = person.next_code()
        if not code:
            return False
        act = self._act("api", "step up", person.name, person.tenant, "")
        body = {"password": person.password, "code": code}
        answer = self._api(act, person, "POST", "/api/v1/me/step-up", body, refusals=frozenset({403}))
        person.keep_code(answer)
        if answer.status == 200:
            person.token_proven_at = time.monotonic()
        return answer.status == 200

    # --- Browsers ----------------------------------------------------------------------------------------------

    def _browser(self, person: Person) -> Browser | None:
        """Return a browser in which this person is signed in, or None if signing in failed."""
        browser = Browser(self.browser_line, self.target.base)
        browser.cookies = person.cookies
        if person.signed_in_at:
            return browser
        code = person.next_code()
        if not code:
            return None
        act = self._act("pages", "sign in", person.name, person.tenant, "")
        answer = self._try(act, lambda: self._sign_in(browser, person, code), is_repeatable=False)
        if answer.status == 302 and browser.cookies.get("lockbox_session"):
            person.signed_in_at = time.monotonic()
            return browser
        person.keep_code(answer)
        browser.cookies.clear()
        return None

    @staticmethod
    def _sign_in(browser: Browser, person: Person, code: str) -> Answer:
        page = browser.get("/accounts/login/")
        if page.status != 200:
            return page
        form = next(form for form in forms_of(page.text) if form.method == "post" and "login" in form.names)
        answer = browser.post("/accounts/login/", form.filled(login=person.email, password=person.password))
        if answer.status != 302 or "/accounts/code/" not in browser.path_of(answer):
            return answer
        page = browser.follow(answer)
        form = next((form for form in forms_of(page.text) if "code" in form.names), Form("", ""))
        return browser.post("/accounts/code/", form.filled(code=code)) if page.status == 200 else page

    def _page(self, browser: Browser, person: Person, path: str, name: str) -> Answer:
        """Get a page. A redirect to the sign-in is a violation: the session was lost, and no outage may cause this."""
        act = self._act("pages", name, person.name, person.tenant, "")
        answer = self._try(
            act, lambda: _unless_signed_out(browser, browser.get(path)), is_repeatable=False,
            refusals=frozenset({403, 404}),
        )  # fmt: skip
        if answer.status == 401:
            person.signed_in_at = 0.0
        return answer

    def _send(
        self, browser: Browser, person: Person, act: IntendedAct, path: str, form: Form, *,
        refusals: frozenset[int] = frozenset({422}), is_file: bool = False, **given: str | list[str],
    ) -> Answer:  # fmt: skip
        """Send a form. Only a redirect means that the act was done. A page with the form on it means that it was not.

        A form that downloads a file is not repeated, because each file writes an entry.
        """

        def send() -> Answer:
            answer = _unless_signed_out(browser, browser.post(path, form.filled(**given)))
            if answer.status == 200 and not is_file:
                return Answer(422, answer.body, answer.headers)
            return answer

        answer = self._try(act, send, is_repeatable=form.is_once and not is_file, refusals=refusals)
        if answer.status == 401:
            person.signed_in_at = 0.0
        return answer

    # --- Tickets -----------------------------------------------------------------------------------------------

    def open_ticket_api(self, person: Person) -> None:
        act = self._act("api", "open ticket", person.name, person.tenant, "ticket.opened")
        body = {"tenant": self.cast.tenants[person.tenant]["id"], "service": self.cast.world["service"]["key"],
                "title": act.key, "body": "Since Monday the search finds nothing."}  # fmt: skip
        act.mark = act.key
        answer = self._api(act, person, "POST", "/api/v1/tickets", body)
        self._heard_of_ticket(answer, person.tenant)

    def _heard_of_ticket(self, answer: Answer, tenant: str) -> None:
        if answer.status == 201:
            found = json.loads(answer.body)
            self.board.put_ticket(Ticket(found["id"], tenant, found["state"], found["reference"]))

    def open_ticket_page(self, person: Person) -> None:
        if (browser := self._browser(person)) is None:
            return
        page = self._page(browser, person, "/tickets/new/", "see the form of a ticket")
        form = _form_with(page, "title")
        if form is None:
            return
        act = self._act("pages", "open ticket", person.name, person.tenant, "ticket.opened")
        act.mark = act.key
        answer = self._send(
            browser, person, act, "/tickets/new/", form, service=self.cast.world["service"]["id"], title=act.key,
            body="Since Monday the search finds nothing.",
        )  # fmt: skip
        if answer.status == 302:
            self.board.put_ticket(Ticket(browser.path_of(answer).split("/")[2], person.tenant))

    def comment_api(self, person: Person) -> None:
        if ticket := self._ticket_for(person, *LIVE):
            act = self._act("api", "comment", person.name, ticket.tenant, COMMENTED)
            act.mark = act.key
            path = f"/api/v1/tickets/{ticket.id}/comments"
            self._api(act, person, "POST", path, {"body": act.key})

    def comment_page(self, person: Person) -> None:
        if not (ticket := self._ticket_for(person, *LIVE)) or (browser := self._browser(person)) is None:
            return
        page = self._page(browser, person, f"/tickets/{ticket.id}/", "see a ticket")
        path = f"/tickets/{ticket.id}/comment/"
        form = _form_to(page, path)
        if form is not None:
            act = self._act("pages", "comment", person.name, ticket.tenant, COMMENTED)
            act.mark = act.key
            self._send(browser, person, act, path, form, note=act.key)

    def comment_cli(self, person: Person) -> None:
        if (ticket := self._ticket_for(person, *LIVE)) and ticket.reference:
            act = self._act("command line", "comment", person.name, ticket.tenant, COMMENTED)
            act.mark = act.key
            self._cli(act, person, "tickets", "comment", ticket.reference, act.key)

    def work_ticket(self, person: Person) -> None:
        """As an engineer, take a ticket, ask the customer, or sometimes resolve the ticket."""
        ticket = self._ticket_for(person, *LIVE)
        if ticket is None:
            return
        verb, state, event = "assign", "ASSIGNED", "ticket.assigned"
        if ticket.state == "ASSIGNED" and self.dice.random() < 0.6:
            verb, state, event = "ask", "WAITING_FOR_CUSTOMER", "ticket.answer_asked"
        if ticket.comments > 6 and ticket.state != "NEW" and self.dice.random() < 0.3:
            verb, state, event = "resolve", "RESOLVED", "ticket.resolved"
        self._move_ticket(person, ticket, verb, state, event)

    def answer_ticket(self, person: Person) -> None:
        if ticket := self.board.ticket(self.dice, person.tenant, "WAITING_FOR_CUSTOMER"):
            self._move_ticket(person, ticket, "answer", "ASSIGNED", "ticket.answered")
        elif ticket := self.board.ticket(self.dice, person.tenant, "RESOLVED"):
            if self.dice.random() < 0.5:
                self._move_ticket(person, ticket, "reopen", "ASSIGNED", "ticket.reopened")
            else:
                self._move_ticket(person, ticket, "close", "CLOSED", "ticket.closed")

    def _move_ticket(self, person: Person, ticket: Ticket, verb: str, state: str, event: str) -> None:
        act = self._act("api", f"{verb} ticket", person.name, ticket.tenant, event)
        # Taking a ticket has no comment, so its entry is found by ticket and person. Other entries contain the key.
        act.mark = f"{ticket.id} {person.id}" if verb == "assign" else act.key
        body = {} if verb == "assign" else {"comment": act.key}
        answer = self._api(act, person, "POST", f"/api/v1/tickets/{ticket.id}/{verb}", body)
        ticket.comments += 1
        if answer.status == 200:
            ticket.state = json.loads(answer.body)["state"]
        elif answer.status == 409:
            self._look_again(person, ticket)
        elif not answer.is_well and answer.status != 503:
            ticket.state = state

    def _look_again(self, person: Person, ticket: Ticket) -> None:
        answer = self._read(person, f"/api/v1/tickets/{ticket.id}", "see a ticket")
        if answer.status == 200:
            ticket.state = json.loads(answer.body)["state"]

    def _ticket_for(self, person: Person, *states: str) -> Ticket | None:
        """Return a ticket of the person's tenant in one of these states. The provider's people get any tenant's ticket.

        If there is no such ticket, open one.
        """
        tenant = person.tenant or self.dice.choice(list(self.cast.tenants))
        found = self.board.ticket(self.dice, tenant, *states)
        if found is None and person.is_a("member", "approver", "administrator"):
            self.open_ticket_api(person)
        return found

    # --- Access requests ---------------------------------------------------------------------------------------

    def submit_api(self, person: Person) -> None:
        ticket = self._ticket_for(person, *LIVE)
        if ticket is None:
            return
        act = self._act("api", "submit", person.name, ticket.tenant, "access_request.submitted")
        act.mark = act.key
        body = {"ticket": ticket.id, "resources": [self.cast.tenants[ticket.tenant]["resource"]], "level": "read",
                "window_seconds": self.dice.choice(self.target.windows),
                "tried": "Rebuilt the index, and read the log.",
                "justification": f"{act.key} Nothing else shows why the invoices are missing."}  # fmt: skip
        # 422: the ticket was closed meanwhile, so the access request is refused.
        answer = self._api(act, person, "POST", "/api/v1/access-requests", body, refusals=frozenset({422}))
        if answer.status == 201:
            found = json.loads(answer.body)
            self.board.put_asked(Asked(found["id"], ticket.tenant, person.name, found["state"], changed=time.time()))
        elif answer.status in (409, 422):
            self._look_again(person, ticket)

    def submit_page(self, person: Person) -> None:
        ticket = self._ticket_for(person, *LIVE)
        if ticket is None or (browser := self._browser(person)) is None:
            return
        path = f"/tickets/{ticket.id}/ask/"
        form = _form_with(self._page(browser, person, path, "see the form that asks"), "justification")
        if form is None:
            return
        act = self._act("pages", "submit", person.name, ticket.tenant, "access_request.submitted")
        act.mark = act.key
        answer = self._send(
            browser, person, act, path, form, step="submit", tried="Rebuilt the index, and read the log.",
            justification=f"{act.key} Nothing else shows why the invoices are missing.", level="read",
            resource_ids=[self.cast.tenants[ticket.tenant]["resource"]],
            window_for=str(self.dice.choice(self.target.windows)),
        )  # fmt: skip
        if answer.status == 302:
            found = browser.path_of(answer).split("/")[2]
            self.board.put_asked(Asked(found, ticket.tenant, person.name, changed=time.time()))

    def _to_decide(self, person: Person) -> tuple[Asked, str, str] | None:
        """Return an access request that this person can decide on, with a verdict and the event that it causes."""
        if person.side == "provider":
            row = self.board.access_request(self.dice, "PENDING_PROVIDER", untried_by=person.name)
        else:
            row = self.board.access_request(self.dice, "PENDING_CUSTOMER", tenant=person.tenant, untried_by=person.name)
        if row is None:
            return None
        verdict = "approve" if self.dice.random() < 0.85 else "deny"
        if not self.board.try_once(row, person.name, "decide"):
            return None
        return row, verdict, _event_of(verdict, person.side)

    def decide_api(self, person: Person) -> None:
        found = self._to_decide(person) if self._proven(person) else None
        if found is None:
            return
        row, verdict, event = found
        path = f"/api/v1/access-requests/{row.id}"
        shown = self._read(person, path, "see an access request")
        if shown.status != 200 or not self._heard(row, shown):
            return
        act = self._act("api", verdict, person.name, row.tenant, event)
        act.mark = act.key
        answer = self._api(
            act, person, "POST", f"{path}/{verdict}", {"comment": act.key}, If_Match=shown.headers.get("etag", "")
        )
        self._heard(row, answer)

    def decide_page(self, person: Person) -> None:
        if (browser := self._browser(person)) is None or (found := self._to_decide(person)) is None:
            return
        row, verdict, event = found
        path = f"/access-requests/{row.id}/decide/{verdict}/"
        page = self._page(browser, person, path, "see what is decided")
        form = _form_with(page, "digest")
        if form is None:
            self._decided_elsewhere(row, page)
            return
        proof: dict[str, Any] = {}
        if "password" in form.names:
            if not (code := person.next_code()):
                return
            proof = {"password": person.password, "code": code}
        act = self._act("pages", verdict, person.name, row.tenant, event)
        act.mark = act.key
        # If the form asked for no password, the confirmation may have become too old since, and then 403 is expected.
        refusals = frozenset({422} if proof else {422, 403})
        answer = self._send(browser, person, act, path, form, refusals=refusals, comment=act.key, **proof)
        if answer.status == 302:
            row.state, row.changed = _state_after(verdict, person.side, self.cast.tenants[row.tenant]), time.time()
        elif answer.status == 409:
            self._decided_elsewhere(row, answer)

    def decide_cli(self, person: Person) -> None:
        """Decide with the command line.

        The token is confirmed already, so that the command does not ask for a password.
        """
        found = self._to_decide(person) if self._proven(person) else None
        if found is None:
            return
        row, verdict, event = found
        act = self._act("command line", verdict, person.name, row.tenant, event)
        act.mark = act.key
        self._cli(act, person, "requests", verdict, row.id, "--yes", "--comment", act.key)
        self._decided_elsewhere(row, Answer(0))

    def decide_azure(self, person: Person) -> None:
        found = self._to_decide(person) if self._proven(person) else None
        if found is None:
            return
        row, verdict, event = found
        act = self._act("azure", verdict, person.name, row.tenant, event)
        act.mark = act.key
        path = f"/subscriptions/{self.cast.tenants[row.tenant]['id']}/{AZURE}/requests/{row.id}/updateApproval"
        body = {"status": verdict.title(), "reason": act.key}
        answer = self._api(act, person, "POST", f"{path}?{API_VERSION}", body)
        if answer.status == 200:
            row.state, row.changed = "OPEN" if verdict == "approve" else "DENIED", time.time()
        elif answer.status == 409:
            self._decided_elsewhere(row, answer)

    def decide_machine(self, person: Person) -> None:
        """Decide with the tenant's client, in an approver's name. The client and the approver count as one human."""
        machine = self.cast.machines[person.tenant]
        named = f"boris-{person.tenant.rpartition('-')[2]}"
        row = self.board.access_request(self.dice, "PENDING_CUSTOMER", tenant=person.tenant, untried_by=named)
        if row is None or not self.board.try_once(row, named, "decide"):
            return
        path = f"/api/v1/access-requests/{row.id}"
        shown = self._read(machine, path, "see an access request")
        if shown.status != 200 or not self._heard(row, shown):
            return
        act = self._act("api", "approve by machine", machine.name, row.tenant, _event_of("approve", "customer"))
        act.mark = act.key
        answer = self._api(
            act, machine, "POST", f"{path}/approve", {"comment": act.key}, If_Match=shown.headers.get("etag", "")
        )
        self._heard(row, answer)

    def _heard(self, row: Asked, answer: Answer) -> bool:
        """Store the access request's state from a response. Return whether it still waits for a decision."""
        if answer.status == 200:
            found = json.loads(answer.body)
            if found["state"] != row.state:
                row.state, row.changed = found["state"], time.time()
            if found.get("grant"):
                row.grant = found["grant"]["id"]
                row.closes_at = datetime.fromisoformat(found["grant"]["closes_at"]).timestamp()
        elif answer.status in (409, 412):
            self._decided_elsewhere(row, answer)
        return row.state.startswith("PENDING")

    def _decided_elsewhere(self, row: Asked, answer: Answer) -> None:
        """Read the state with the engineer's token, because somebody else decided or the deadline has passed."""
        engineer = self.cast.people[row.engineer]
        shown = self._read(engineer, f"/api/v1/access-requests/{row.id}", "see an access request")
        if shown.status == 200:
            self._heard(row, shown)

    def withdraw(self, person: Person) -> None:
        row = self.board.access_request(self.dice, "PENDING_PROVIDER", "PENDING_CUSTOMER", engineer=person.name)
        self._end(person, row, "withdraw", "access_request.withdrawn", "WITHDRAWN")

    def release(self, person: Person) -> None:
        row = self.board.access_request(self.dice, "OPEN", engineer=person.name)
        self._end(person, row, "release", "grant.released", "CLOSED")

    def revoke_api(self, person: Person) -> None:
        row = self.board.access_request(self.dice, "OPEN", tenant=person.tenant or None)
        self._end(person, row, "revoke", "grant.revoked", "CLOSED")

    def _end(self, person: Person, row: Asked | None, verb: str, event: str, state: str) -> None:
        if row is None or not self.board.try_once(row, person.name, "end"):
            return
        act = self._act("api", verb, person.name, row.tenant, event)
        act.mark = act.key
        path = f"/api/v1/access-requests/{row.id}/{verb}"
        answer = self._api(act, person, "POST", path, {"comment": act.key})
        if answer.status in (200, 409):
            row.state, row.changed = state, time.time()

    def revoke_page(self, person: Person) -> None:
        row = self.board.access_request(self.dice, "OPEN", tenant=person.tenant)
        if row is None or (browser := self._browser(person)) is None:
            return
        if not self.board.try_once(row, person.name, "end"):
            return
        path = f"/access-requests/{row.id}/revoke/"
        form = _form_with(self._page(browser, person, path, "see the window that is closed"), "comment")
        if form is None:
            self._decided_elsewhere(row, Answer(0))
            return
        act = self._act("pages", "revoke", person.name, row.tenant, "grant.revoked")
        act.mark = act.key
        if self._send(browser, person, act, path, form, comment=act.key).status in (302, 409):
            row.state, row.changed = "CLOSED", time.time()

    # --- Content -----------------------------------------------------------------------------------------------

    def look(self, person: Person) -> None:
        """On the page of an open window, open an item or list the names."""
        found = self._window(person)
        if found is None:
            return
        browser, row, place = found
        item = self.dice.choice(self.cast.world["items"])
        name, event, path = "open item", "content.opened", f"{place}item/?id={quote(item)}"
        if self.dice.random() < 0.3:
            name, event, path, item = "list names", "content.listed", place, ""
        self._look(browser, person, row, name, event, path, item)

    def download(self, person: Person) -> None:
        found = self._window(person)
        if found is not None:
            browser, row, place = found
            item = self.dice.choice(self.cast.world["items"])
            self._look(
                browser, person, row, "download item", "content.downloaded", f"{place}raw/?id={quote(item)}", item
            )

    def _window(self, person: Person) -> tuple[Browser, Asked, str] | None:
        row = self.board.access_request(self.dice, "OPEN", engineer=person.name)
        if row is None:
            return None
        if not row.grant:
            self._heard(row, self._read(person, f"/api/v1/access-requests/{row.id}", "see an access request"))
        if not row.grant or (browser := self._browser(person)) is None:
            return None
        if row.closes_at < time.time():
            row.state = "CLOSED"
        return browser, row, f"/windows/{row.grant}/{self.cast.tenants[row.tenant]['resource']}/"

    def _look(self, browser: Browser, person: Person, row: Asked, name: str, event: str, path: str, item: str) -> None:
        act = self._act("pages", name, person.name, row.tenant, event, f"{row.id} {item}".strip())

        def send() -> Answer:
            answer = _unless_signed_out(browser, browser.get(path))
            # The response says that the window is closed, so it is no access. Content pages also contain
            # `reader-closed`, hidden, but only they contain `closed-notice`.
            if answer.status == 200 and b"reader-closed" in answer.body and b'id="closed-notice"' not in answer.body:
                return Answer(409, answer.body, answer.headers)
            return answer

        answer = self._try(act, send, is_repeatable=False, refusals=frozenset({403, 404, 410}))
        if answer.status == 401:
            person.signed_in_at = 0.0
        if answer.status in (403, 404, 409, 410):
            self._decided_elsewhere(row, answer)

    def evaluate(self, person: Person) -> None:
        """As a service, ask whether an engineer can read something now, and report the access."""
        row = self.board.access_request(self.dice, "OPEN", tenant=person.tenant)
        if row is None:
            return
        engineer = self.cast.people[row.engineer]
        act = self._act("api", "ask the decision point", "gateway", row.tenant, "content.access_allowed")
        act.mark = act.key
        body = {"subject": {"type": "engineer", "id": engineer.id}, "action": {"name": "read"},
                "resource": {"type": self.cast.world["service"]["key"],
                             "id": self.cast.tenants[row.tenant]["resource"]},
                "context": {"purpose": "access", "item": act.key}}  # fmt: skip
        machine = self.cast.gateway
        token = machine.token or self._token_of(machine)
        if not token:
            return
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

        def send() -> Answer:
            answer = self.line.call("POST", "/access/v1/evaluation", json.dumps(body).encode(), headers)
            # A denial also has status 200, and writes no entry.
            if answer.status == 200 and json.loads(answer.body).get("decision") is not True:
                return Answer(409, answer.body, answer.headers)
            return answer

        self._try(act, send, is_repeatable=False)

    # --- Files, long polls -------------------------------------------------------------------------------------

    def export_api(self, person: Person) -> None:
        act = self._act("api", "export", person.name, person.tenant, "log.exported")
        self._file_of_the_log(act, person, "export?format=jsonl&")

    def _file_of_the_log(self, act: IntendedAct, person: Person, what: str) -> None:
        """Download a file of the log.

        Each file has another filter, so that its log entry can be told from the others.
        """
        act.mark = f"2001-01-01T00:00:{act.number // 10**6 % 60:02}.{act.number % 10**6:06}Z"
        tenant = self.cast.tenants[person.tenant]["id"]
        self._api(act, person, "GET", f"/api/v1/tenants/{tenant}/log/{what}since={act.mark}")

    def export_page(self, person: Person) -> None:
        if (browser := self._browser(person)) is None:
            return
        tenant = self.cast.tenants[person.tenant]["id"]
        page = self._page(browser, person, f"/log/{tenant}/", "see the log")
        path = f"/log/{tenant}/export/csv/"
        form = _form_to(page, path)
        if form is None:
            return
        act = self._act("pages", "export", person.name, person.tenant, "log.exported")
        act.mark = act.key
        self._send(browser, person, act, path, form, is_file=True, q=act.key)

    def evidence(self, person: Person) -> None:
        act = self._act("api", "evidence", person.name, person.tenant, "log.evidence_taken")
        self._file_of_the_log(act, person, "evidence?")

    def long_poll(self, person: Person) -> None:
        tenant = self.cast.tenants[person.tenant]["id"]
        if self.dice.random() < 0.3:
            # The reader reads the beginning of a stream, and closes the connection.
            act = self._act("api", "stream of events", person.name, person.tenant, "")
            headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {person.token}"}
            path = f"/api/v1/tenants/{tenant}/events?after=0"
            self._try(act, lambda: self.line.call("GET", path, None, headers, read_at_most=4096), is_repeatable=False)
            return
        after = self.seen_events.get(person.tenant)
        path = f"/api/v1/tenants/{tenant}/events?wait=3" + ("" if after is None else f"&after={after}")
        answer = self._api(self._act("api", "long poll", person.name, person.tenant, ""), person, "GET", path)
        if answer.status == 200:
            self.seen_events[person.tenant] = json.loads(answer.body)["cursor"]

    # --- SCIM --------------------------------------------------------------------------------------------------

    def provision(self, person: Person) -> None:
        """As a directory, add, switch off, switch on or delete a person."""
        machine, users = self.cast.directories[person.tenant], self.board.users.setdefault(person.tenant, [])
        if len(users) < 3 or self.dice.random() < 0.4:
            act = self._act("scim", "add user", machine.name, person.tenant, "person.created")
            act.mark = act.key
            body: dict[str, Any] = {"schemas": [SCIM_USER], "userName": f"{act.key.lower()}@{person.tenant}.example",
                    "displayName": act.key, "externalId": act.key}  # fmt: skip
            answer = self._api(act, machine, "POST", "/scim/v2/Users", body, scim=True)
            if answer.status == 201:
                users.append(json.loads(answer.body)["id"])
            return
        user = users.pop(0)
        if self.dice.random() < 0.7:
            act = self._act("scim", "switch user off", machine.name, person.tenant, "person.switched_off", user)
            body = {"schemas": [SCIM_PATCH], "Operations": [{"op": "replace", "value": {"active": False}}]}
            self._api(act, machine, "PATCH", f"/scim/v2/Users/{user}", body, scim=True)
        else:
            act = self._act("scim", "delete user", machine.name, person.tenant, "person.switched_off", user)
            self._api(act, machine, "DELETE", f"/scim/v2/Users/{user}", scim=True, refusals=frozenset({404}))

    # --- Administration ----------------------------------------------------------------------------------------

    def _admin(
        self, person: Person, path: str, name: str, slug: str, event: str, mark: str = "", **given: str
    ) -> Answer | None:
        """Do one act in the administration: open its page, and send the form.

        A redirect means that the act was done.
        """
        if (browser := self._browser(person)) is None:
            return None
        page = self._page(browser, person, path, "see an act's page")
        form = _form_with(page, next(iter(given)))
        if form is None:
            return None
        act = self._act("admin", name, person.name, slug, event, mark)
        act.mark = mark or act.key
        filled: dict[str, Any] = {field: value.replace("KEY", act.key) for field, value in given.items()}
        return self._send(browser, person, act, path, form, refusals=frozenset({422, 403}), **filled)

    def admin_comment(self, person: Person) -> None:
        if ticket := self.board.ticket(self.dice, None, *LIVE):
            path = f"/admin/requests_app/ticket/{ticket.id}/act/comment/"
            self._admin(person, path, "comment", ticket.tenant, COMMENTED, body="KEY")

    def admin_open_ticket(self, person: Person) -> None:
        slug = self.dice.choice(list(self.cast.tenants))
        self._admin(
            person, "/admin/requests_app/ticket/add/", "open ticket", slug, "ticket.opened", title="KEY",
            body="They called and said that nothing is found.", tenant=slug, service=self.cast.world["service"]["id"],
        )  # fmt: skip

    def admin_close_ticket(self, person: Person) -> None:
        if ticket := self.board.ticket(self.dice, None, "RESOLVED"):
            path = f"/admin/requests_app/ticket/{ticket.id}/act/close/"
            answer = self._admin(person, path, "close ticket", ticket.tenant, "ticket.closed", note="KEY")
            if answer is not None and answer.status == 302:
                ticket.state = "CLOSED"

    def admin_revoke(self, person: Person) -> None:
        row = self.board.access_request(self.dice, "OPEN")
        if row is None or not self.board.try_once(row, person.name, "end"):
            return
        path = f"/admin/requests_app/accessrequest/{row.id}/act/revoke/"
        answer = self._admin(person, path, "revoke", row.tenant, "grant.revoked", note="KEY")
        if answer is not None and answer.status in (302, 409):
            row.state, row.changed = "CLOSED", time.time()

    # --- The command line --------------------------------------------------------------------------------------

    def _cli(self, act: IntendedAct, person: Person, *words: str) -> None:
        env = {**self.target.env, "LOCKBOX_URL": self.target.base, "LOCKBOX_TOKEN": person.token,
               "PYTHONPATH": f"{self.target.tree / 'clients' / 'python'}{os.pathsep}{self.target.client}",
               "XDG_CONFIG_HOME": str(Path(self.target.env["DATA_DIR"]) / "nobody")}  # fmt: skip
        self._command(act, [sys.executable, "-m", "lockbox_cli", *words, "--json"], env, refusals={1})

    def manage_export(self, person: Person) -> None:
        """As an operator on the machine itself, export a tenant's log with a command."""
        slug = self.dice.choice(list(self.cast.tenants))
        act = self._act("command line", "export", "operator", slug, "log.exported", "command")
        command = [sys.executable, "manage.py", "export_log", slug, "--format", "jsonl", "--limit", "50"]
        self._command(act, command, self.target.env, refusals=set())

    def _command(self, act: IntendedAct, command: list[str], env: dict[str, str], *, refusals: set[int]) -> None:
        self.tried += 1
        with _ONE_COMMAND:
            begun = time.time()
            try:
                done = subprocess.run(
                    command, cwd=self.target.tree, env={**env, "PATH": os.environ["PATH"]}, capture_output=True,
                    text=True, timeout=90,
                )  # fmt: skip
                status, errors = done.returncode, done.stderr
            except subprocess.TimeoutExpired:
                status, errors = -1, "it did not end in 90 seconds"
        outcome = _of_command(status, errors, refusals)
        act.calls.append(Call(begun, time.time(), 200 if status == 0 else 0, f"exit {status}", outcome, errors[-300:]))
        self.journal.add(act)


def _of_command(status: int, text: str, refusals: set[int]) -> str:
    """Return the outcome of a command. Its exit status and the problem's code in its output show it."""
    if status == 0:
        return Outcome.DONE
    if "outcome_unknown" in text or "know whether" in text:
        return Outcome.UNKNOWN
    if "store_unavailable" in text:
        return Outcome.NOTHING
    # With status 4, no response came. For a command that uses the database directly, any other status says nothing
    # about the act.
    return Outcome.REFUSED if status in refusals else Outcome.LOST


def _words(answer: Answer) -> str:
    return " ".join(answer.text.split())[:300] if answer.status != 503 else " ".join(answer.text.split())[-400:]


def _event_of(verdict: str, side: str) -> str:
    return f"access_request.{'approved' if verdict == 'approve' else 'denied'}_by_{side}"


def _state_after(verdict: str, side: str, tenant: dict[str, Any]) -> str:
    if verdict == "deny":
        return "DENIED"
    return "PENDING_CUSTOMER" if side == "provider" and tenant["lockbox"] else "OPEN"


def _is_redirect(answer: Answer) -> bool:
    return 300 <= answer.status < 400


def _unless_signed_out(browser: Browser, answer: Answer) -> Answer:
    """Turn a redirect to the sign-in into status 401. A redirect would otherwise count as a success."""
    if _is_redirect(answer) and "/accounts/login" in browser.path_of(answer):
        return Answer(401, b"The session is gone.", answer.headers)
    return answer


def _form_with(page: Answer, name: str) -> Form | None:
    found = [form for form in forms_of(page.text) if form.method == "post" and name in form.names]
    return found[0] if page.status == 200 and found else None


def _form_to(page: Answer, path: str) -> Form | None:
    found = [form for form in forms_of(page.text) if form.method == "post" and form.action.partition("?")[0] == path]
    return found[0] if page.status == 200 and found else None
