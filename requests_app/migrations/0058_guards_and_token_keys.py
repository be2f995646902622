import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0057_act_as"),
    ]

    operations = [
        migrations.CreateModel(
            name="TokenKey",
            fields=[
                ("kid", models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name="key id")),
                (
                    "alg",
                    models.CharField(
                        choices=[("RS256", "RS256"), ("EdDSA", "EdDSA")], max_length=8, verbose_name="algorithm"
                    ),
                ),
                ("number", models.PositiveIntegerField(verbose_name="number")),
                ("public", models.JSONField(verbose_name="public key")),
                ("sealed", models.TextField(blank=True, default="", editable=False)),
                ("published_at", models.DateTimeField(verbose_name="published")),
                ("signs_from", models.DateTimeField(verbose_name="signs from")),
                ("retires_at", models.DateTimeField(blank=True, null=True, verbose_name="published until")),
                ("is_in_log", models.BooleanField(default=False, editable=False)),
            ],
            options={
                "verbose_name": "key for tokens",
                "verbose_name_plural": "keys for tokens",
                "ordering": ["alg", "-number"],
            },
        ),
        migrations.AddField(
            model_name="client",
            name="service",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="guards",
                to="requests_app.service",
                verbose_name="guards the application of",
            ),
        ),
        migrations.AddConstraint(
            model_name="client",
            constraint=models.CheckConstraint(
                condition=models.Q(("service", None), ("tenant", None), _connector="OR"),
                name="client_guards_for_the_provider",
            ),
        ),
        migrations.AddConstraint(
            model_name="tokenkey",
            constraint=models.UniqueConstraint(fields=("alg", "number"), name="token_key_once"),
        ),
    ]
