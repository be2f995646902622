"""A message about an account of the provider's people belongs to no tenant.

Going back, such messages must be deleted first: no column could hold what they lack.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0006_verifiable_log")]

    operations = [
        migrations.AlterField(
            model_name="outboxmessage",
            name="tenant",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="outbox_messages",
                to="requests_app.tenant",
            ),
        ),
    ]
