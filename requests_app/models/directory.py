"""What a tenant's directory reports over SCIM about the tenant's people."""

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
    and the account is switched off. The account is not deleted, because the log names it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="directory_records")
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
        ]

    def __str__(self) -> str:
        return self.user_name
