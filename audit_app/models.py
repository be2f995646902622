"""One append-only log per tenant: strings and ids only, so that deleting a person never deletes evidence."""

from __future__ import annotations

from django.db import models


class ChainHead(models.Model):
    """How long a tenant's log is; its row is the lock under which the next entry gets its number."""

    tenant_id = models.UUIDField(primary_key=True)
    size = models.PositiveBigIntegerField(default=0)
    last_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "chain head"

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.size}"


class AuditEntry(models.Model):
    """`canonical` is the evidence; every other column is an index into it and is checked against it."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    seq = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    event = models.CharField(max_length=64)
    door = models.CharField(max_length=16)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=200)
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    correlation_id = models.UUIDField(null=True)
    text = models.TextField(default="")
    canonical = models.BinaryField()
    leaf_hash = models.BinaryField(max_length=32)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        ordering = ["tenant_id", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "seq"], name="audit_entry_dense"),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "event", "-seq"], name="audit_entry_by_event"),
            models.Index(fields=["tenant_id", "actor_id", "-seq"], name="audit_entry_by_actor"),
            models.Index(fields=["tenant_id", "correlation_id", "seq"], name="audit_entry_by_request"),
            models.Index(fields=["tenant_id", "at"], name="audit_entry_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id} #{self.seq} {self.event}"
