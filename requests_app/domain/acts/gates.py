"""Declares the acts on gates: proxies of web tools, and the questions that proxies ask."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.content import CONTENT_ACCESS_ALLOWED, CONTENT_CUT
from requests_app.domain.acts.declaration import Act, Door, Event, Field, Kind, Noun, Proposal, Route, StepUp
from requests_app.domain.scopes import Scope

PROXY_ADDED = Event(
    "proxy.added",
    label=_("Proxy of a web tool added"),
    sentence=_("{who} added the proxy {proxy} of {service}. Its secret has the fingerprint {fingerprint}"),
    siem=Meaning(Family.ENTITY, OTHER, "Add proxy", Severity.HIGH),
)
PROXY_REMOVED = Event(
    "proxy.removed",
    label=_("Proxy of a web tool removed"),
    sentence=_("{who} removed the proxy {proxy} of {service}"),
    siem=Meaning(Family.ENTITY, OTHER, "Remove proxy", Severity.LOW),
)

ADD_PROXY_ANNOUNCED = Proposal(
    "add_proxy",
    _("add the proxy “%(name)s” of %(service_name)s, whose secret has the fingerprint %(fingerprint)s"),
    by_staff=True,
)

ADD_PROXY = Act(
    "add_proxy",
    noun=Noun.SERVICE,
    roles=frozenset({Role.STAFF}),
    title=_("Add a proxy"),
    explains=_(
        "A proxy in front of the web tool asks Lockbox about each request. Make its secret yourself, for example with "
        "“openssl rand -hex 32”, and enter only its SHA-256 hash."
    ),
    inputs=(Field("name", Kind.NAME, at_most=80), Field("secret_hash", Kind.LINE, at_least=64, at_most=64)),
    step_up=StepUp.DEPENDS,
    scope=Scope.PROVISION,
    events=(PROXY_ADDED,),
    tried=_("to add a proxy of a web tool"),
    proposes=(ADD_PROXY_ANNOUNCED,),
    done=_("The proxy was added."),
    doors=frozenset({Door.ADMIN, Door.API}),
)
REMOVE_PROXY = Act(
    "remove_proxy",
    noun=Noun.PROXY,
    roles=frozenset({Role.STAFF}),
    title=_("Remove this proxy"),
    explains=_("Every request that it asks about is refused from now on."),
    scope=Scope.PROVISION,
    events=(PROXY_REMOVED,),
    tried=_("to remove a proxy of a web tool"),
    done=_("The proxy was removed."),
    doors=frozenset({Door.ADMIN, Door.API}),
    route=Route("remove", "Remove a proxy of a web tool", "Each later question of this proxy is refused."),
)
PASS_GATE = Act(
    "pass_gate",
    noun=Noun.GRANT,
    roles=frozenset({Role.SYSTEM}),
    title=_("Reach a web tool through its gate"),
    events=(CONTENT_ACCESS_ALLOWED,),
    tried=_("to reach a web tool through its gate"),
    doors=frozenset({Door.API}),
    own_order="The decision point's rule judges many requests of a tenant in one transaction, and each has its entry.",
)
CUT_AT_GATE = Act(
    "cut_at_gate",
    noun=Noun.GRANT,
    roles=frozenset({Role.SYSTEM}),
    events=(CONTENT_CUT,),
    doors=frozenset({Door.API}),
    own_order="This act only records that a connection to a web tool was cut, and needs no open window.",
)
