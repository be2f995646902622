"""Groups of the provider's directory: which roles they give, and who is in them."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.acts.provider_directory import MAP_GROUP, UNMAP_GROUP
from requests_app.doors.admin.acts import ActForm, AdminAction, of_act
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.filters import by_choice, by_flag, by_row
from requests_app.doors.admin.searching import Search
from requests_app.doors.choosing import RoleField
from requests_app.models import DirectoryGroup, GroupMember, GroupRole, Person, QueueAssignment, Service


class GroupRoleForm(ActForm):
    group = forms.CharField(
        label=_("Group"),
        max_length=254,
        help_text=_("The name of the group in your directory (displayName). Upper and lower case count as equal."),
    )
    service = forms.ModelChoiceField(label=_("Service"), queryset=Service.objects.order_by("name"))
    role = RoleField(choices=QueueAssignment.Role.choices)


def map_group(row: None, actor: Actor, data: dict[str, Any]) -> GroupRole:
    return operations.map_group(data["service"].pk, group=data["group"], role=data["role"], actor=actor)


class GroupRoleAdmin(StaffAdmin):
    list_display = ("group", "role", "service", "made_at")
    reads: ClassVar = ("group", "service")
    ordering = ("group__name", "service__name", "role")
    search: ClassVar = Search(words=("group__name",))
    list_filter = (
        by_choice("role", _("role"), QueueAssignment.Role.choices),
        by_row("service", _("service"), Service),
    )
    lead = _(
        "Your own directory (SCIM) puts people into groups. Here you say which role in which queue the members of a "
        "group get. A group can give several roles."
    )
    facts: ClassVar = [("", ("group", "role", "service", "made_at"))]
    related: ClassVar = [Related(model=GroupMember, by=lambda row: {"group": row.group}, title=_("Members"))]
    adding: ClassVar = AdminAction(
        name="add",
        label=_("Give a role through a group"),
        form=GroupRoleForm,
        run=map_group,
        done=MAP_GROUP.done,
        explains=_(
            "If any customer has ever switched Lockbox on, the mapping is announced, and a second member of the staff "
            "must confirm it. After that, each new member of the group gets the role without a confirmation: customers "
            "get a mail, and the role takes effect after the waiting time."
        ),
    )
    acts: ClassVar = [of_act(UNMAP_GROUP, "remove", label=_("Remove the mapping"), bulk=_("Remove"))]


class GroupMemberAdmin(StaffAdmin):
    list_display = ("person", "group", "through", "since", "has_lapsed")
    reads: ClassVar = ("person", "group", "through")
    ordering = ("-since",)
    search: ClassVar = Search(ids=("person",), people=("person",))
    list_filter = (
        by_row("group", _("group"), DirectoryGroup),
        by_row("person", _("person"), Person),
        by_flag("has_lapsed", _("lapsed")),
    )
    lead = _(
        "Only the directory changes who is in a group. A role that still waits is listed under Proposals, and you can "
        "withdraw it there. If a member’s role has lapsed, it is announced again when the directory next changes the "
        "group."
    )
    facts: ClassVar = [("", ("person", "group", "through", "since", "has_lapsed"))]
