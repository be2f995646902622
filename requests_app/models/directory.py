"""What a directory reports over SCIM about people, and which roles its groups give to the provider's people."""

from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from requests_app.models.scoping import ScopedQuerySet


class DirectoryRecordQuerySet(ScopedQuerySet):
    def present(self) -> Self:
        """Return the records that the directory has not deleted."""
        return self.filter(removed_at=None)


class DirectoryRecord(models.Model):
    """A person as the directory describes them (RFC 7643, section 4.1).

    The row is made when the directory first sends them. `external_id` is the directory's own key. `user_key` is the
    user name in lower case, for comparisons. When the directory deletes a person, it can't see this record any more,
    and the account is switched off. The account is not deleted, because the log names it. A record without a tenant is
    about one of the provider's people.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        "requests_app.Tenant", models.PROTECT, null=True, blank=True, related_name="directory_records"
    )
    person = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, related_name="directory")
    user_name = models.CharField(_("user name"), max_length=254)
    user_key = models.CharField(max_length=254)
    external_id = models.CharField(_("id in the directory"), max_length=254, blank=True)
    given_name = models.CharField(_("given name"), max_length=120, blank=True)
    family_name = models.CharField(_("family name"), max_length=120, blank=True)
    changed_at = models.DateTimeField(_("changed"))
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)

    objects = DirectoryRecordQuerySet.as_manager()

    class Meta:
        verbose_name = _("directory record")
        verbose_name_plural = _("directory records")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "user_key"], condition=Q(removed_at=None), name="directory_user_name_once"
            ),
            models.UniqueConstraint(
                fields=["tenant", "external_id"],
                condition=Q(removed_at=None) & ~Q(external_id=""),
                name="directory_external_id_once",
            ),
            # In a unique constraint, two rows without a tenant are never equal.
            models.UniqueConstraint(
                fields=["user_key"],
                condition=Q(removed_at=None, tenant=None),
                name="provider_directory_user_name_once",
            ),
            models.UniqueConstraint(
                fields=["external_id"],
                condition=Q(removed_at=None, tenant=None) & ~Q(external_id=""),
                name="provider_directory_external_id_once",
            ),
        ]

    def __str__(self) -> str:
        return self.user_name


class DirectoryGroup(models.Model):
    """A group of the provider's directory that gives roles. `key` is the name in lower case, for comparisons."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=254)
    key = models.CharField(max_length=254, unique=True)

    class Meta:
        verbose_name = _("directory group")
        verbose_name_plural = _("directory groups")

    def __str__(self) -> str:
        return self.name


class GroupRole(models.Model):
    """A mapping: the members of a group of the directory get this role in the queue of a service."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    group = models.ForeignKey(DirectoryGroup, models.CASCADE, related_name="roles", verbose_name=_("group"))
    service = models.ForeignKey("requests_app.Service", models.PROTECT, related_name="group_roles")
    # The choices are those of QueueAssignment, which can't be imported here.
    role = models.CharField(
        _("role"),
        max_length=20,
        choices=[("engineer", _("Engineer")), ("provider_approver", _("Provider approver"))],
    )
    made_at = models.DateTimeField(_("since"))

    class Meta:
        verbose_name = _("role through a group")
        verbose_name_plural = _("roles through groups")
        constraints = [
            models.UniqueConstraint(fields=["group", "service", "role"], name="group_role_once"),
        ]

    def __str__(self) -> str:
        return f"{self.group} · {self.get_role_display()} · {self.service}"


class GroupMember(models.Model):
    """One of the provider's people whom the directory has put into a group.

    `through` is the account of the client that did this. `has_lapsed` says that a role through this group could not
    take effect. It is offered again when the directory next changes the group.
    """

    group = models.ForeignKey(DirectoryGroup, models.CASCADE, related_name="members", verbose_name=_("group"))
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="directory_groups", verbose_name=_("person")
    )
    through = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("API client")
    )
    since = models.DateTimeField(_("since"))
    has_lapsed = models.BooleanField(_("lapsed"), default=False)

    class Meta:
        verbose_name = _("member of a group")
        verbose_name_plural = _("members of groups")
        constraints = [
            models.UniqueConstraint(fields=["group", "person"], name="group_member_once"),
        ]

    def __str__(self) -> str:
        return f"{self.person} · {self.group}"
