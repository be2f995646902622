"""The entries need no index of their times: no entry is older than the entry before it (audit_app/periods.py)."""

from django.db import migrations

from audit_app.migrations._indexes import RemoveIndexBeside


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("audit_app", "0004_search_index")]

    operations = [RemoveIndexBeside("auditentry", "audit_entry_by_time")]
