"""What a proposal would do, in words that follow "proposes to"; for pages, mails and the log alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

_WORDS: dict[str, Promise] = {
    "give_role": _("give %(name)s the role “%(role)s”"),
    "take_role": _("take the role “%(role)s” from %(name)s"),
    "switch_off_person": _("switch off the account of %(name)s"),
    "switch_on_person": _("switch on the account of %(name)s"),
    "invite_person": _("invite %(email)s to the role “%(role)s”"),
    "switch_lockbox": _("switch Lockbox %(on)s"),
    "set_window_cap": _("set the longest window to %(minutes)s minutes"),
    "set_yes_rule": _("let a yes count if it is %(rule)s"),
    "set_two_person_control": _("switch two-person control %(on)s"),
    "set_log_retention": _("keep the log for %(days)s days"),
    "set_cosigning": _("open windows only if a witness cosigned the log within %(hours)s hours"),
    "remove_witness": _("remove the witness %(name)s"),
}
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
}


def words(act: str, said: Mapping[str, Any]) -> str:
    """The sentence's rest. Names come from people, and are for the caller to make safe."""
    if None in (said.get("days", 0), said.get("hours", 0)):
        return str(_WITHOUT.get(act, act))
    if act not in _WORDS:
        return act
    shown = {**said, "on": gettext("on") if said.get("on") else gettext("off")}
    shown["role"] = _ROLES.get(str(said.get("role")), said.get("role"))
    shown["rule"] = _YES.get(str(said.get("rule")), said.get("rule"))
    if "seconds" in said:
        shown["minutes"] = int(said["seconds"]) // 60
    return str(_WORDS[act]) % shown
