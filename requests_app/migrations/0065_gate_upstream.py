from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0064_access_tasks"),
    ]

    operations = [
        migrations.AddField(
            model_name="service",
            name="gate_upstream",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=300, verbose_name="upstream address"
            ),
        ),
        migrations.RemoveConstraint(model_name="service", name="service_gate_has_rules_and_address"),
        migrations.AddConstraint(
            model_name="service",
            constraint=models.CheckConstraint(
                condition=Q(gate_rules="", gate_identity=False, gate_upstream="")
                | (Q(connector="external") & ~Q(gate_rules="") & ~Q(link_template="")),
                name="service_gate_has_rules_and_address",
            ),
        ),
    ]
