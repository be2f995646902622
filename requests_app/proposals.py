"""What a proposal would do, in words that follow "proposes to"; for pages, mails and the log alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from requests_app.events import title_of
from requests_app.scopes import LABELS, known
from requests_app.templatetags import _times

_WORDS: dict[str, Promise] = {
    "give_role": _("give %(name)s the role “%(role)s”"),
    "take_role": _("take the role “%(role)s” from %(name)s"),
    "switch_off_person": _("switch off the account of %(name)s"),
    "switch_on_person": _("switch on the account of %(name)s"),
    "reset_second_factors": _("reset the second factors of %(name)s"),
    "invite_person": _("invite %(email)s to the role “%(role)s”"),
    "switch_lockbox": _("switch Lockbox %(on)s"),
    "set_window_cap": _("set the longest window to %(time)s"),
    "set_yes_rule": _("let a yes count if it is %(rule)s"),
    "set_two_person_control": _("switch two-person control %(on)s"),
    "set_log_retention": _("keep the log for %(days)s days"),
    "set_cosigning": _("open windows only if a witness cosigned the log within the last %(time)s"),
    "add_witness": _("register the witness %(name)s at %(url)s"),
    "remove_witness": _("remove the witness %(name)s"),
    "set_approval_page": _("have a yes signed on your own page %(approval_origin)s, %(only)s"),
    "change_client": _("let the client %(name)s decide for %(decides_for)s"),
    "change_webhook": _("tell the webhook at %(place_before)s, from now on at %(place)s, of %(events)s"),
    "remove_webhook": _("remove the webhook at %(place)s"),
    "disable_webhook": _("switch off the webhook at %(place)s"),
    "enable_webhook": _("switch on the webhook at %(place)s, which is told of %(events)s"),
    "set_sign_on": _(
        "have people sign in at %(issuer)s with the client %(client_id)s: single sign-on is %(sign_on)s; "
        "groups that give roles: %(groups)s; who gets in without it: %(break_glass)s"
    ),
    "claim_domain": _("claim the domain %(domain)s, whose people then sign in with single sign-on"),
    # The staff's. They are read by customers.
    "change_plan": _("change the plan %(name)s: %(changes)s"),
    "move_tenant": _("move the tenant %(name)s from the plan %(plan_before)s to %(plan_name)s, without Lockbox"),
    "add_service": _("add the service %(name)s, which Lockbox does not cover"),
    "change_service": _("change the service %(name)s: %(changes)s"),
    "add_resource": _(
        "add “%(name)s” of %(tenant_name)s to the service %(service_name)s, which Lockbox does not cover"
    ),
    "rename_resource": _("give the resource “%(was)s” the name “%(name)s”"),
    "give_queue_role": _("give %(name)s the role “%(role)s” for %(service_name)s"),
    "make_staff": _("make %(name)s a member of the staff"),
    "switch_on_provider": _("switch on the account of %(name)s again, with the roles that it has"),
    "link_accounts": _("count the accounts of %(name)s and %(other_name)s as one human"),
    "unlink_accounts": _("count the account of %(name)s as a human of its own"),
    "let_client_ask": _("allow the client %(name)s, for every tenant: %(gained)s"),
}
#: What an announced change does to a field, after its name in the proposal.
_CHANGES: dict[str, Promise] = {
    "is_covered": _("Lockbox no longer covers it, and customers are no longer asked for approval"),
    "includes_lockbox": _("it no longer includes Lockbox"),
    "key": _("its key “%(was)s” becomes “%(now)s”"),
    "name": _("its name “%(was)s” becomes “%(now)s”"),
    "connector": _("its connector “%(was)s” becomes “%(now)s”"),
}
_COVERED = _("Lockbox covers it")
_WITHOUT: dict[str, Promise] = {
    "set_log_retention": _("keep the log for good"),
    "set_cosigning": _("open windows whether or not a witness cosigned the log"),
}
#: As a tenant's rule about its yes has them.
_YES: dict[str, Promise] = {
    "any": _("signed or not"),
    "signed": _("signed with a passkey"),
    "device_bound": _("signed with a passkey that can’t leave its device"),
}
#: The keys are the roles of a membership, whose labels are not to be had here.
_ROLES: dict[str, Promise] = {
    "member": _("Member"),
    "approver": _("Approver"),
    "auditor": _("Auditor"),
    "administrator": _("Administrator"),
    "deputy": _("Deputy"),
    "engineer": _("Engineer"),
    "provider_approver": _("Provider approver"),
}


#: Why an announced change came to nothing, by the reason that the entry names.
_LAPSES: dict[str, Promise] = {
    "unanswered": _("Nobody confirmed it within 7 days"),
    "no_longer_staff": _("One of the two who agreed on it is no longer staff"),
    "one_human": _("The two who agreed on it count as one human now"),
    "no_longer_fits": _("What it would change is not as it was when it was proposed"),
}


def lapse_words(reason: str) -> str:
    return str(_LAPSES.get(reason, reason))


def words(act: str, said: Mapping[str, Any]) -> str:
    """The sentence's rest. Names come from people, and are for the caller to make safe."""
    if None in (said.get("days", 0), said.get("hours", 0)):
        return str(_WITHOUT.get(act, act))
    if act not in _WORDS:
        return act
    if act == "set_approval_page" and not said.get("approval_origin"):
        return gettext("give up your own approval page")
    shown = {**said, "on": gettext("on") if said.get("on") else gettext("off"), **_listed(said)}
    shown["role"] = _ROLES.get(str(said.get("role")), said.get("role"))
    shown["rule"] = _YES.get(str(said.get("rule")), said.get("rule"))
    length = int(said["seconds"]) if "seconds" in said else int(said.get("hours") or 0) * _times.HOUR
    shown["time"] = _times.duration_words(length)
    return str(_WORDS[act]) % shown


def _listed(said: Mapping[str, Any]) -> dict[str, str]:
    """What takes more than one word of what was said."""
    events, role_map = said.get("events") or [], said.get("role_map") or {}
    groups = [f"{group} → {_ROLES.get(role, role)}" for group, role in sorted(role_map.items())]
    sign_on = gettext("on") if said.get("is_on") else gettext("off")
    return {
        "changes": "; ".join(_changed(name, now, said) for name, now in (said.get("set") or {}).items()),
        "gained": "; ".join(str(LABELS[scope]) for scope in known(said.get("gained") or [])),
        "events": gettext("everything") if "*" in events else ", ".join(title_of(event) for event in events),
        "groups": ", ".join(groups) or gettext("none"),
        "sign_on": gettext("the only way in") if said.get("is_only") else sign_on,
        "break_glass": said.get("break_glass") or gettext("nobody"),
        "only": gettext("and nowhere else") if said.get("own_keys_only") else gettext("or here"),
    }


def _changed(name: str, now: object, said: Mapping[str, Any]) -> str:
    if name == "is_covered" and now:
        return str(_COVERED)
    return str(_CHANGES[name]) % {"now": now, "was": said["was"].get(name)} if name in _CHANGES else name
