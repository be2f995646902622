import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0049_invitations_of_clients"),
    ]

    operations = [
        migrations.AddField(
            model_name="invitation",
            name="name",
            field=models.CharField(blank=True, db_default="", default="", max_length=120, verbose_name="name"),
        ),
        migrations.AddField(
            model_name="invitation",
            name="beside",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="others",
                to="requests_app.invitation",
                verbose_name="together with",
            ),
        ),
    ]
