import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0048_held_rows_of_no_tenant"),
    ]

    operations = [
        migrations.AddField(
            model_name="invitation",
            name="invited_through",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="invited through the API client",
            ),
        ),
    ]
