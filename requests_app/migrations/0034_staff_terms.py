"""Since when each tenant has had Lockbox on, and since when each of the staff has been staff, as far as it is known.

Where it is not known the cautious answer is written: a tenant whose log was shortened counts as one that had Lockbox
on; an account that is switched off counts as one that was staff until now.
"""

from uuid import UUID

from django.db import migrations
from django.db.models import Max, Min
from django.utils import timezone


def fill(apps, schema_editor):
    tenants, people = apps.get_model("requests_app", "Tenant"), apps.get_model("requests_app", "Person")
    terms, entries = apps.get_model("requests_app", "StaffTerm"), apps.get_model("audit_app", "AuditEntry")
    switched = entries.objects.filter(event__in=("lockbox.switched_on", "lockbox.switched_off"))
    for tenant in tenants.objects.filter(lockbox_first_on_at=None):
        at = switched.filter(tenant_id=tenant.pk).aggregate(first=Min("at"))["first"]
        if tenant.log_retention_days is not None or (at is None and tenant.lockbox_on):
            at = tenant.created_at
        if at is not None:
            tenants.objects.filter(pk=tenant.pk).update(lockbox_first_on_at=at)
    now = timezone.now()
    back = entries.objects.filter(
        tenant_id=UUID(int=0), event__in=("person.switched_on", "person.second_factors_reset")
    )
    again = dict(back.values_list("subject_id").annotate(last=Max("at")))
    for person in people.objects.filter(is_staff=True):
        since = max(person.created_at, again.get(str(person.pk), person.created_at))
        terms.objects.create(
            person=person, human_id=person.human_id, from_at=since, until_at=None if person.is_active else now
        )


def forget(apps, schema_editor):
    apps.get_model("requests_app", "StaffTerm").objects.all().delete()
    apps.get_model("requests_app", "Tenant").objects.update(lockbox_first_on_at=None)


class Migration(migrations.Migration):
    dependencies = [
        ("audit_app", "0007_lock_head"),
        ("requests_app", "0033_staff_changes"),
    ]

    operations = [
        migrations.RunPython(fill, forget),
    ]
