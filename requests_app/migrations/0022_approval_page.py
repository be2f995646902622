"""Where a tenant's own approval page is. Code that does not know of it goes on making tenants without one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0021_tries")]

    operations = [
        migrations.AddField(
            "tenant",
            "approval_origin",
            models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=300,
                verbose_name="own approval page",
            ),
        ),
        migrations.AddField(
            "tenant",
            "approval_rp_id",
            models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=253,
                verbose_name="site of its keys",
            ),
        ),
        migrations.AddField(
            "tenant",
            "own_keys_only",
            models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                verbose_name="a yes takes such a key",
            ),
        ),
    ]
