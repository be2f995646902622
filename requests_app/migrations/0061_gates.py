import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q


def person(words=None):
    """Return a column with a person who can be unknown."""
    more = {"verbose_name": words} if words else {}
    return models.ForeignKey(
        blank=True,
        null=True,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to=settings.AUTH_USER_MODEL,
        **more,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0060_guards"),
    ]

    operations = [
        migrations.AddField(
            model_name="service",
            name="gate_rules",
            field=models.TextField(
                blank=True, db_default="", default="", max_length=4000, verbose_name="rules of the gate"
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="gate_identity",
            field=models.BooleanField(db_default=False, default=False, verbose_name="the gate names the engineer"),
        ),
        migrations.AddConstraint(
            model_name="service",
            constraint=models.CheckConstraint(
                condition=Q(gate_rules="", gate_identity=False)
                | (Q(connector="external") & ~Q(gate_rules="") & ~Q(link_template="")),
                name="service_gate_has_rules_and_address",
            ),
        ),
        migrations.CreateModel(
            name="GateProxy",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=80, verbose_name="name")),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("added_at", models.DateTimeField(verbose_name="added")),
                ("removed_at", models.DateTimeField(blank=True, null=True, verbose_name="removed")),
                ("asked_at", models.DateTimeField(blank=True, null=True, verbose_name="last asked")),
                ("added_by", person("added by")),
                ("removed_by", person()),
                (
                    "service",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="proxies",
                        to="requests_app.service",
                    ),
                ),
            ],
            options={
                "verbose_name": "proxy of a web tool",
                "verbose_name_plural": "proxies of web tools",
                "ordering": ["-added_at"],
            },
        ),
    ]
