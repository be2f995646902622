"""Describes what a proposal would do, in words that follow "proposes to". Pages, mails and the log use this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from requests_app.domain.acts import PROPOSALS
from requests_app.domain.acts.imports import IMPORT_ROWS
from requests_app.domain.certificates import fingerprint
from requests_app.domain.events import title_of
from requests_app.domain.levels import Level, offers_in
from requests_app.domain.scopes import LABELS, known
from requests_app.words import times

#: What an announced change does to a field. The key is the field's name in the proposal.
_CHANGES: dict[str, Promise] = {
    "is_covered": _("Lockbox no longer covers this service, and customers are no longer asked for approval"),
    "includes_lockbox": _("the plan no longer includes Lockbox"),
    "key": _("the key “%(was)s” becomes “%(now)s”"),
    "name": _("the name “%(was)s” becomes “%(now)s”"),
    "connector": _("the connector “%(was)s” becomes “%(now)s”"),
    "locator": _("the locator “%(was)s” becomes “%(now)s”, so it leads to other content"),
    "external_id": _("the external id “%(was)s” becomes “%(now)s”"),
    "external_id_first": _("it gets the external id “%(now)s”"),
    "is_active": _("it is switched on again, so engineers can ask for access"),
    "application": _("the application “%(was)s” becomes “%(now)s”"),
    "link_template": _("the link template “%(was)s” becomes “%(now)s”"),
    "levels": _("the levels of access “%(was)s” become “%(now)s”"),
    "gate_rules": _("the rules of its gate “%(was)s” become “%(now)s”"),
    "gate_rules_first": _("proxies in front of it ask Lockbox about each request, by the rules “%(now)s”"),
    "gate_rules_last": _("it has no gate any more. The rules were “%(was)s”"),
    "gate_identity": _("its gate tells the tool who the engineer is"),
    "gate_identity_last": _("its gate no longer tells the tool who the engineer is"),
    "gate_upstream": _("its requests go through the proxy of this product to “%(now)s” and no longer to “%(was)s”"),
    "gate_upstream_first": _("its requests go through the proxy of this product, to “%(now)s”"),
    "gate_upstream_last": _("its requests no longer go through the proxy of this product. It led to “%(was)s”"),
    "guidance": _("the text for engineers “%(was)s” becomes “%(now)s”"),
}
_COVERED = _("Lockbox covers this service")
#: The values of a tenant's rule about approvals.
_YES: dict[str, Promise] = {
    "any": _("signed or not"),
    "signed": _("signed with a passkey"),
    "device_bound": _("signed with a passkey that can’t leave its device"),
}
#: The keys are the roles of a membership. Their labels can't be imported here.
_ROLES: dict[str, Promise] = {
    "member": _("Member"),
    "approver": _("Approver"),
    "auditor": _("Auditor"),
    "administrator": _("Administrator"),
    "deputy": _("Deputy"),
    "engineer": _("Engineer"),
    "provider_approver": _("Provider approver"),
}


#: Why an announced change lapsed. The key is the reason in the change's entry.
_LAPSES: dict[str, Promise] = {
    "unanswered": _("Nobody confirmed the change within 7 days"),
    "no_longer_staff": _("One of the people who agreed on the change is no longer on the staff"),
    "client_removed": _("The API client that proposed the change was removed"),
    "one_human": _("The two accounts that agreed on the change belong to the same person"),
    "person_switched_off": _("The provider’s directory switched the account off"),
    "no_longer_fits": _("The same setting was changed after the proposal was made"),
}


def lapse_words(reason: str) -> str:
    return str(_LAPSES.get(reason, reason))


def words(act: str, values: Mapping[str, Any]) -> str:
    """Return the words that follow "proposes to".

    The words can contain names that people wrote: the caller escapes them.
    """
    proposal = PROPOSALS.get(act)
    if proposal is None:
        return act
    if None in (values.get("days", 0), values.get("hours", 0)):
        return act if proposal.without is None else str(proposal.without)
    if act == "set_approval_page" and not values.get("approval_origin"):
        return gettext("remove the tenant’s own approval page")
    shown = {**values, "on": gettext("on") if values.get("on") else gettext("off"), **_listed(values)}
    shown["role"] = _ROLES.get(str(values.get("role")), values.get("role"))
    shown["level"] = dict(Level.choices).get(str(values.get("level")), values.get("level"))
    shown["rule"] = _YES.get(str(values.get("rule")), values.get("rule"))
    length = int(values["seconds"]) if "seconds" in values else int(values.get("hours") or 0) * times.HOUR
    shown["time"] = times.duration_words(length)
    return str(proposal.words) % shown


def title(act: str, values: Mapping[str, Any], changes: int) -> str:
    """Return a short title for staff. A proposal of an import is named by its file, not by the hash of the file."""
    if act != IMPORT_ROWS.name:
        return words(act, values)
    counted = ngettext("import %(file)s: %(n)d change", "import %(file)s: %(n)d changes", changes)
    return counted % {"file": values["_file"], "n": changes}


def _listed(values: Mapping[str, Any]) -> dict[str, str]:
    """Return, as text, the values that can't be shown as they are, such as lists."""
    events, role_map = values.get("events") or [], values.get("role_map") or {}
    groups = [f"{group} → {_ROLES.get(role, role)}" for group, role in sorted(role_map.items())]
    sign_on = gettext("on") if values.get("is_on") else gettext("off")
    if values.get("is_only"):
        sign_on = gettext("the only way to sign in")
    if values.get("is_proof"):
        sign_on = gettext("%(sign_on)s, and also a proof of identity for acts") % {"sign_on": sign_on}
    if newcomer_role := values.get("newcomer_role"):
        sign_on = gettext("%(sign_on)s, and people of your domains without an account get one as: %(role)s") % {
            "sign_on": sign_on,
            "role": _ROLES.get(newcomer_role, newcomer_role),
        }
    if url := values.get("metadata_url"):
        sign_on = gettext("%(sign_on)s, with new keys from %(address)s") % {"sign_on": sign_on, "address": url}
    if signer := values.get("metadata_signer"):
        sign_on = gettext("%(sign_on)s, with metadata that the certificate %(fingerprint)s signs") % {
            "sign_on": sign_on,
            "fingerprint": fingerprint(signer),
        }
    return {
        "changes": "; ".join(_changed(name, now, values) for name, now in (values.get("set") or {}).items()),
        "gained": "; ".join(f"“{LABELS[scope]}”" for scope in known(values.get("gained") or [])),
        "events": gettext("everything") if "*" in events else ", ".join(title_of(event) for event in events),
        "groups": ", ".join(groups) or gettext("none"),
        "sign_on": sign_on,
        "break_glass": values.get("break_glass") or gettext("nobody"),
        "only": gettext("and not on the pages of Lockbox")
        if values.get("own_keys_only")
        else gettext("or on the pages of Lockbox"),
    }


def levels_words(text: str) -> str:
    """Return the levels that a service declares, each with the service's own words, in one line."""
    known = dict(Level.choices)
    lines = []
    for offer in offers_in(text):
        quoted = "”, “".join(filter(None, (offer.for_customer, offer.for_engineer)))
        lines.append(
            f"{known.get(offer.level, offer.level)} (“{quoted}”)"
            if quoted
            else str(known.get(offer.level, offer.level))
        )
    return ", ".join(lines) or gettext("the usual ones")


def _changed(name: str, now: object, values: Mapping[str, Any]) -> str:
    if name == "is_covered" and now:
        return str(_COVERED)
    if name == "external_id" and not values["was"].get(name):
        name = "external_id_first"
    if name in ("gate_rules", "gate_upstream") and not (now and values["was"].get(name)):
        name = f"{name}_first" if now else f"{name}_last"
    if name == "gate_identity" and not now:
        name = "gate_identity_last"
    if name == "levels":
        now, was = levels_words(str(now)), levels_words(str(values["was"].get(name)))
        return str(_CHANGES[name]) % {"now": now, "was": was}
    return str(_CHANGES[name]) % {"now": now, "was": values["was"].get(name)} if name in _CHANGES else name
