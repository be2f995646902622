from django.db import migrations, models


def mark_announced(apps, schema_editor):
    """Before, all rows were announced in the transaction that proposed them."""
    held, imports = apps.get_model("requests_app", "HeldRow"), apps.get_model("requests_app", "Import")
    proposed = imports.objects.filter(pk=models.OuterRef("of")).values("proposal__proposed_at")
    held.objects.exclude(of__proposal=None).update(announced_at=models.Subquery(proposed))


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0051_switches_and_letter_case"),
    ]

    operations = [
        migrations.AddField(
            model_name="heldrow",
            name="announced_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="heldrow",
            index=models.Index(condition=models.Q(("outcome", "")), fields=["of", "tenant"], name="held_row_left"),
        ),
        migrations.AddIndex(
            model_name="heldrow",
            index=models.Index(
                condition=models.Q(("announced_at", None), ("outcome", "")),
                fields=["of", "tenant"],
                name="held_row_unannounced",
            ),
        ),
        migrations.RunPython(mark_announced, migrations.RunPython.noop),
    ]
