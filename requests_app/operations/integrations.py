"""Manages clients and tokens: who may call the API, and what each of them may do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from django.db import transaction
from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.domain import api_secrets, clock, limits, policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.callers import (
    CHANGE_CLIENT,
    CLIENT_CHANGED,
    CLIENT_CREATED,
    CLIENT_REMOVED,
    CLIENT_SECRET_ROTATED,
    CLIENT_TOKEN_MADE,
    CONFIRM_TOKEN,
    CREATE_CLIENT,
    CREATE_TOKEN,
    LET_CLIENT_ASK,
    LET_CLIENT_GUARD,
    LET_CLIENT_PROVISION,
    MAKE_LASTING_TOKEN,
    REMOVE_CLIENT,
    REVOKE_TOKEN,
    ROTATE_CLIENT_SECRET,
    STEP_UP_TOKEN,
    TOKEN_CONFIRMED,
    TOKEN_CREATED,
    TOKEN_REVOKED,
)
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.errors import (
    NoPasswordCounts,
    NotAllowed,
    SecondFactorRequired,
    TooMany,
    Unacceptable,
    WrongProof,
    WrongState,
)
from requests_app.domain.scopes import Scope, in_order, known
from requests_app.models import Client, IdempotencyKey, Person, Tenant, Token
from requests_app.operations._announced import Terms, announced, everybody, is_announced, propose
from requests_app.operations._callbacks import end_callbacks
from requests_app.operations._callers import (
    UNCHANGED,
    client_scopes,
    decider,
    described,
    guarded,
    may_hold_secret,
    named,
    needs_two,
    new_account,
    of_token,
    require_held,
    require_human,
    revoke_all,
    scopes_in,
    service_of,
    set_guarded,
    tell_of_decider,
)
from requests_app.operations._change import PROVIDER_LOG, Step, act
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled
from requests_app.operations._stream_settings import end_streams
from requests_app.operations._subjects import log_of

security_log = structlog.get_logger("security")

#: A client of the provider gets these scopes only after customers have got an announcement.
_ANNOUNCED_SCOPES = frozenset(
    {Scope.EVALUATE, Scope.GUARD, Scope.REQUESTS_ASK, Scope.REQUESTS_SUBMIT, Scope.MEMBERS_PROVISION}
)
#: The lifetimes of personal tokens in days. A token that decides can give access to content, so its longest lifetime is
#: shorter.
LIFETIMES = (1, 7, 30, 90, 365)
LONGEST_THAT_DECIDES = 30
ACCESS_TOKEN_FOR = timedelta(hours=1)
#: The lifetimes of a directory's token in days. The former token works for OVERLAP, until the directory has the new
#: one.
LASTING_LIFETIMES, OVERLAP = (30, 90, 180, 365), timedelta(days=7)
#: How long an expired access token of a client is stored, so that people can still find which token it was.
TOKENS_STORED_FOR = timedelta(days=7)
KEYS_STORED_FOR = timedelta(hours=48)
MOST_CLIENTS, MOST_TOKENS = 50, 50


class Made(NamedTuple):
    """A new row with its secret. The secret is shown once and never stored."""

    row: Any
    secret: str


# --- Clients -------------------------------------------------------------------------------------------------


def create_client(
    *,
    tenant_id: object = None,
    name: str,
    scopes: Iterable[str],
    decides_for_id: object = None,
    service_id: object = None,
    actor: Actor,
) -> Made:
    """Add a client to a tenant, for its administrator. Without `tenant_id`, add it to the provider, for staff.

    Under two-person control, `decides_for_id` is refused, because only one person sees the secret. A client of the
    provider does not get some scopes yet (`_ANNOUNCED_SCOPES`): for example to ask about every tenant, or to ask for
    access. They are announced to customers first. `service_id` names the external service whose application the client
    guards.
    """

    def check(current: Step) -> None:
        client = current.row
        client.scopes = client_scopes(scopes, client.tenant)
        require_held(current.actor, client.scopes)
        client.service = guarded(service_id, client)
        client.decides_for = decider(decides_for_id, client)
        if client.decides_for is not None and needs_two(client):
            words = _(
                "Your tenant is under two-person control. Add the client first; then propose for whom it decides."
            )
            raise Unacceptable(words, field="decides_for")

    with perform(
        CREATE_CLIENT,
        tenant_id,
        actor=actor,
        inputs={"name": name},
        find=_new_client,
        state=_require_room,
        check=check,
    ) as current:
        client: Client = current.row
        client.account = new_account(current.inputs["name"], client, at=current.at)
        secret = api_secrets.make(api_secrets.Kind.CLIENT_SECRET)
        client.secret_hash = api_secrets.hashed(secret)
        client.created_at = client.secret_at = current.at
        client.secret_by_id = client.created_by_id
        announcement = _to_announce(client, [])
        if announcement is not None:
            client.scopes = [scope for scope in client.scopes if scope not in announcement[1]["gained"]]
            client.service = client.service if Scope.GUARD in client.scopes else None
        client.save(force_insert=True)
        current.witness(CLIENT_CREATED, detail=described(client), text=str(client))
        if announcement is not None:
            propose(current, *announcement)
        tell_of_decider(current, client)
    return Made(client, secret)


def _new_client(current: Step, tenant_id: object) -> Client:
    """Return a client that is not saved yet. Without a tenant, it belongs to the provider."""
    require_human(current.actor)
    client = Client(created_by_id=current.actor.person)
    if tenant_id is not None:
        client.tenant = Tenant.objects.visible_to(current.actor).locked().find(tenant_id)
    current.concerns("client", client, client.tenant_id or PROVIDER_LOG)
    return client


def _require_room(current: Step) -> None:
    if Client.objects.live().filter(tenant=current.row.tenant).count() >= MOST_CLIENTS:
        raise TooMany(_("There can be at most %(max)d clients.") % {"max": MOST_CLIENTS})


def change_client(
    client_id: object,
    *,
    scopes: Iterable[str] | None = None,
    decides_for_id: object = UNCHANGED,
    service_id: object = UNCHANGED,
    actor: Actor,
) -> Client:
    """Set the scopes of a client, the approver in whose name it decides, and the service that it guards.

    Without `scopes`, they stay. With `decides_for_id=None`, it decides for nobody. Only a client that gets the scope to
    guard can get a service, and keeps it as long as it has the scope.
    """
    before: dict[str, Any] = {}

    def check(current: Step) -> None:
        client = current.row
        before.update(described(client))
        if scopes is not None:
            client.scopes = client_scopes(scopes, client.tenant)
        gained = set(client.scopes) - set(before["scopes"])
        set_guarded(client, service_id, gained)
        # Scopes that are taken away are not checked: that gives nobody any right.
        require_held(current.actor, gained)
        if decides_for_id is not UNCHANGED:
            client.decides_for = decider(decides_for_id, client)
        elif client.decides_for is not None and Scope.DECISIONS_WRITE not in client.scopes:
            client.decides_for = None
        if described(client) == before:
            raise Unacceptable(_("The client already has these values."), field="scopes")
        current.require_proof(needed=bool(gained) or _is_given_to_decide(client, before))

    def announces(current: Step) -> tuple[Change, Terms] | None:
        announcement = _to_announce(current.row, before["scopes"])
        if announcement is None:
            return None
        terms = announcement[1]
        if set(current.row.scopes) - set(terms["gained"]) != set(before["scopes"]):
            words = _(
                "Customers get notice before a client gets these permissions: %(scopes)s. Add these "
                "permissions in a separate change."
            )
            raise Unacceptable(words % {"scopes": ", ".join(terms["gained"])}, field="scopes")
        return announcement

    def holds(current: Step) -> dict[str, Any] | None:
        client = current.row
        return described(client) if client.tenant_id and _is_given_to_decide(client, before) else None

    with perform(CHANGE_CLIENT, client_id, actor=actor, check=check, announces=announces, holds=holds) as current:
        client: Client = current.row
        _change_client(current, client, before)
    return client


def _is_given_to_decide(client: Client, before: dict[str, Any]) -> bool:
    return described(client)["decides_for_id"] not in (None, before["decides_for_id"])


def _to_announce(client: Client, before: Iterable[str]) -> tuple[Change, Terms] | None:
    """Return the announcement if a provider's client would get scopes that must be announced, or None."""
    gained = in_order((known(client.scopes) - known(before)) & _ANNOUNCED_SCOPES)
    terms: Terms = {"client": str(client.pk), "name": client.account.name, "gained": gained}
    # A client that manages people has no other scope.
    change = LET_CLIENT_PROVISION if Scope.MEMBERS_PROVISION in gained else LET_CLIENT_ASK
    if Scope.GUARD in gained:
        change, terms = LET_CLIENT_GUARD, {**terms, **service_of(client)}
    return (change, terms) if client.tenant_id is None and gained and is_announced(change, terms) else None


def _lock_client(terms: dict[str, Any]) -> None:
    """Lock the client. As in every act on a client, this comes before the turn at the log."""
    list(Client.objects.filter(pk=terms["client"]).locked())


@announced(LET_CLIENT_PROVISION, lock=_lock_client)
@announced(LET_CLIENT_GUARD, lock=_lock_client)
@announced(LET_CLIENT_ASK, lock=_lock_client)
def _ask_agreed(current: Step, terms: Terms) -> None:
    client = (
        Client.objects.filter(pk=terms["client"])
        .live()
        .select_related("account", "tenant", "decides_for", "service")
        .first()
    )
    if client is None:
        raise WrongState(_("This client was removed."))
    before = described(client)
    client.scopes = client_scopes(known([*client.scopes, *terms["gained"]]), client.tenant)
    if Scope.GUARD in terms["gained"]:
        client.service = guarded(terms["service"], client)
    current.subject_type, current.subject_id = "client", str(client.pk)
    _change_client(current, client, before)


@controlled(CHANGE_CLIENT, lock=_lock_client)
def _change_confirmed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    rows = Client.objects.filter(tenant=tenant).live().select_related("account", "tenant", "decides_for", "service")
    client = rows.filter(pk=terms["client"]).first()
    if client is None:
        raise WrongState(_("This client was removed."))
    before = described(client)
    client.scopes = client_scopes(terms["scopes"], tenant)
    client.decides_for = decider(terms["decides_for_id"], client)
    _change_client(current, client, before)


def _change_client(current: Step, client: Client, before: dict[str, Any]) -> None:
    after = described(client)
    client.save(update_fields=["scopes", "decides_for", "service"])
    was = {f"{name}_before": before[name] for name in ("scopes", "decides_for_id") if before[name] != after[name]}
    if Scope.SSF_MANAGE not in client.scopes:
        end_streams(client.streams.all(), at=current.at)
    if Scope.REQUESTS_ASK not in client.scopes:
        end_callbacks(client, at=current.at)
    current.witness(CLIENT_CHANGED, detail={**after, **was}, text=str(client))
    if before["decides_for_id"] != after["decides_for_id"]:
        tell_of_decider(current, client)


def rotate_client_secret(client_id: object, *, actor: Actor) -> Made:
    """Give a client a new secret. The former secret and all tokens of the client stop working immediately.

    Under two-person control, a client that decides for somebody gets no new secret, because the person who sees the
    secret could then decide alone.
    """

    def state(current: Step) -> None:
        client = current.row
        if client.decides_for is not None and needs_two(client):
            words = _(
                "Your tenant is under two-person control, and this client decides for %(name)s, so the client gets no "
                "new secret. First change the client so that it decides for nobody. Then make the new secret, and "
                "propose again that the client decides for this person."
            )
            raise WrongState(words % {"name": client.decides_for.name})

    with perform(ROTATE_CLIENT_SECRET, client_id, actor=actor, may=may_hold_secret, state=state) as current:
        client: Client = current.row
        secret = api_secrets.make(api_secrets.Kind.CLIENT_SECRET)
        client.secret_hash, client.secret_at = api_secrets.hashed(secret), current.at
        client.secret_by_id = current.actor.person
        client.save(update_fields=["secret_hash", "secret_at", "secret_by"])
        revoke_all(client.account, current)
        entry = current.entry(CLIENT_SECRET_ROTATED, detail=named(client), text=str(client))
        _record_everywhere(current, client, entry)
    return Made(client, secret)


def _record_everywhere(current: Step, client: Client, entry: recorder.Witnessed) -> None:
    """Write the entry about a new secret or token of a client.

    One person sees the secret of a provider's client whose scopes were announced to every tenant. So each of these
    tenants gets the entry in its log, too.
    """
    is_announced_everywhere = client.tenant_id is None and known(client.scopes) & _ANNOUNCED_SCOPES
    logs = [entry.tenant_id, *(everybody() if is_announced_everywhere else [])]
    recorder.record([replace(entry, tenant_id=log) for log in logs], at=current.at)


def remove_client(client_id: object, *, actor: Actor) -> Client:
    """Switch a client and all its tokens off permanently. Its name is still shown on what it did.

    Staff can remove a tenant's client too, because this gives nobody a right.
    """
    with perform(REMOVE_CLIENT, client_id, actor=actor) as current:
        client: Client = current.row
        client.account.is_active = False
        client.account.save(update_fields=["is_active"])
        client.decides_for = None
        client.save(update_fields=["decides_for"])
        revoke_all(client.account, current)
        end_streams(client.streams.all(), at=current.at)
        end_callbacks(client, at=current.at)
        current.witness(CLIENT_REMOVED, detail=named(client), text=str(client))
    return client


def issue_access_token(client: Client, *, scopes: Iterable[Scope]) -> Made:
    """Make an access token for a client that proved its secret. Like a person's sign-in, this is not an act.

    Raise NotFound if the secret is no longer valid. The client is locked here. Without the lock, a token could be made
    while another process changes the secret and revokes all tokens, and the new token would stay valid.
    """
    secret = api_secrets.make(api_secrets.Kind.ACCESS)
    with transaction.atomic():
        Client.objects.live().filter(secret_hash=client.secret_hash).locked().find(client.pk)
        at = clock.now()
        token = Token.objects.create(
            kind=Token.Kind.ACCESS,
            account_id=client.account_id,
            scopes=in_order(scopes),
            secret_hash=api_secrets.hashed(secret),
            hint=api_secrets.hint(secret),
            created_at=at,
            expires_at=at + ACCESS_TOKEN_FOR,
        )
    return Made(token, secret)


def make_lasting_token(client_id: object, *, days: int, actor: Actor) -> Made:
    """Make a long-lived token for a directory that can't get access tokens.

    The client of the directory may have no other scope than the one to manage people. The newest earlier token works
    for another week, or until it expires. All older tokens stop working immediately.
    """

    def state(current: Step) -> None:
        if current.row.scopes != [Scope.MEMBERS_PROVISION]:
            words = _("Only a client that has no scope except %(scope)s can have a long-lived token.")
            raise Unacceptable(words % {"scope": Scope.MEMBERS_PROVISION}, field="client")

    def check(current: Step) -> None:
        if days not in LASTING_LIFETIMES:
            choices = ", ".join(str(each) for each in LASTING_LIFETIMES)
            raise Unacceptable(_("Choose one of these: %(choices)s days.") % {"choices": choices}, field="days")

    with perform(MAKE_LASTING_TOKEN, client_id, actor=actor, may=may_hold_secret, state=state, check=check) as current:
        client: Client = current.row
        former = _let_go(client.account, current)
        secret = api_secrets.make(api_secrets.Kind.ACCESS)
        token = Token.objects.create(
            kind=Token.Kind.LASTING,
            account=client.account,
            name=client.account.name,
            scopes=[str(Scope.MEMBERS_PROVISION)],
            secret_hash=api_secrets.hashed(secret),
            hint=api_secrets.hint(secret),
            created_at=current.at,
            expires_at=current.at + timedelta(days=days),
            made_by_id=current.actor.person,
        )
        detail = {**named(client), "token": str(token.pk), "hint": token.hint, "days": days, "former": former}
        _record_everywhere(current, client, current.entry(CLIENT_TOKEN_MADE, detail=detail, text=str(client)))
    return Made(token, secret)


def _let_go(account: Person, current: Step) -> str | None:
    """End all long-lived tokens of a client now, except the newest, which ends within OVERLAP.

    Return the newest's id.
    """
    live = list(Token.objects.filter(account=account).lasting().live(current.at).order_by("-created_at", "-pk"))
    for number, token in enumerate(live):
        if number:
            token.revoked_at, token.revoked_by_id = current.at, current.actor.person
        token.expires_at = min(token.expires_at, current.at + OVERLAP)
        token.save(update_fields=["expires_at", "revoked_at", "revoked_by"])
    return str(live[0].pk) if live else None


# --- Personal tokens -----------------------------------------------------------------------------------------


def create_token(*, name: str, scopes: Iterable[str], days: int, actor: Actor) -> Made:
    """Make a token with which a person uses the API. A token can't be used to make a token that can do more."""

    def check(current: Step) -> None:
        wanted = scopes_in(scopes, frozenset(Scope))
        require_held(current.actor, wanted)
        if days not in LIFETIMES:
            choices = ", ".join(str(each) for each in LIFETIMES)
            raise Unacceptable(_("Choose one of these: %(choices)s days.") % {"choices": choices}, field="days")
        if Scope.DECISIONS_WRITE in wanted and days > LONGEST_THAT_DECIDES:
            words = _("A token that can approve or deny is valid for at most %(days)d days.")
            raise Unacceptable(words % {"days": LONGEST_THAT_DECIDES}, field="days")
        # A session ends within a day. With a stolen session, nobody must be able to make a token that lasts longer.
        current.require_proof(needed=current.actor.token_id is None)

    with perform(
        CREATE_TOKEN, actor=actor, inputs={"name": name}, may=_may_have_token, state=_require_token_room, check=check
    ) as current:
        person: Person = current.row
        secret = api_secrets.make(api_secrets.Kind.PERSONAL)
        token = Token.objects.create(
            kind=Token.Kind.PERSONAL,
            account=person,
            name=current.inputs["name"],
            scopes=in_order(scopes_in(scopes, frozenset(Scope))),
            secret_hash=api_secrets.hashed(secret),
            hint=api_secrets.hint(secret),
            created_at=current.at,
            expires_at=current.at + timedelta(days=days),
        )
        current.subject_type, current.subject_id = "token", str(token.pk)
        current.witness(TOKEN_CREATED, detail=of_token(token, person), text=f"{person.name} {token.name}")
    return Made(token, secret)


def _may_have_token(current: Step) -> None:
    if not current.row.is_active:
        raise NotAllowed


def _require_token_room(current: Step) -> None:
    if Token.objects.filter(account=current.row).personal().live(current.at).count() >= MOST_TOKENS:
        raise TooMany(_("You can have at most %(max)d tokens. Revoke a token first.") % {"max": MOST_TOKENS})


def revoke_token(token_id: object, *, actor: Actor) -> Token:
    """End a token. The owner, an administrator of the owner's tenant, or staff can do this."""
    with perform(REVOKE_TOKEN, token_id, actor=actor) as current:
        token: Token = current.row
        person = token.account
        if token.is_live(current.at):
            token.revoked_at, token.revoked_by_id = current.at, current.actor.person
            token.save(update_fields=["revoked_at", "revoked_by"])
            detail = of_token(token, person)
            current.witness(TOKEN_REVOKED, detail=detail, text=f"{person.name} {token.name}")
    return token


def confirm_token(token_id: object, *, actor: Actor) -> Token:
    """Confirm, on a page, that the person who uses a token is its owner, who has just proved who they are.

    So a person who has no password, because they sign in with single sign-on, can use the acts that need a proof with
    their token, such as adding a key on their tenant's own approval page.
    """

    def state(current: Step) -> None:
        if current.row.account_id != current.actor.person_id:
            raise NotAllowed
        if not current.row.is_live(current.at):
            raise WrongState(_("This token has ended."))

    with perform(CONFIRM_TOKEN, token_id, actor=actor, state=state) as current:
        token: Token = current.row
        token.stepped_up_at = current.at
        token.save(update_fields=["stepped_up_at"])
        current.witness(TOKEN_CONFIRMED, detail=of_token(token, token.account), text=token.name)
    return token


def step_up_token(*, is_proven: Callable[[Person], bool], actor: Actor) -> datetime:
    """Confirm that the person who uses a token is its owner. Return until when this proof is valid.

    As on a page, a decision needs such a proof, and so does each change of who decides. So a stolen token can do
    neither. `is_proven` checks the proof that was given. A person who must have a second factor but has not set one up
    yet can't prove anything.
    """
    person = Person.objects.get_queryset().humans().filter(pk=actor.person).first()
    if person is None or actor.token_id is None or actor.machine is not None:
        raise NotAllowed
    # Checked before the act begins: hashing takes some time, and the act holds its turn at the log.
    is_right = is_proven(person)
    with act(STEP_UP_TOKEN, actor=actor) as current:
        token: Token = Token.objects.visible_to(current.actor).find(actor.token_id)
        current.concerns("token", token, log_of(person))
        if not is_right:
            raise NoPasswordCounts if person.signs_in_elsewhere() else WrongProof
        if policy.needs_second_factor(current.actor) and not person.has_second_factor:
            raise SecondFactorRequired
        Token.objects.filter(pk=token.pk).update(stepped_up_at=current.at)
    return current.at + limits.STEP_UP_FOR


def note_use(token: Token, *, at: datetime) -> None:
    """Record that a token was used now. The caller does this at most once a minute for each token."""
    Token.objects.filter(pk=token.pk).update(last_used_at=at)


def forget_old(at: datetime, *, limit: int = 1000) -> int:
    """Delete access tokens a week after they expired, and idempotency keys after 48 hours. Return their number."""
    ended = Token.objects.filter(kind=Token.Kind.ACCESS, expires_at__lt=at - TOKENS_STORED_FOR).values("pk")[:limit]
    count = Token.objects.filter(pk__in=list(ended.values_list("pk", flat=True))).delete()[0]
    old = IdempotencyKey.objects.filter(begun_at__lt=at - KEYS_STORED_FOR).values_list("pk", flat=True)[:limit]
    return count + IdempotencyKey.objects.filter(pk__in=list(old)).delete()[0]
