import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0066_access_drafts"),
    ]

    operations = [
        migrations.AlterField(
            model_name="contentaccess",
            name="resource",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="requests_app.resource",
            ),
        ),
        migrations.AddField(
            model_name="guard",
            name="life",
            field=models.UUIDField(blank=True, null=True, verbose_name="life"),
        ),
        migrations.AddField(
            model_name="onetimecode",
            name="renewed_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="token renewed"),
        ),
        migrations.AddField(
            model_name="onetimecode",
            name="renewed_jti",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=64, verbose_name="id of the renewed token"
            ),
        ),
    ]
