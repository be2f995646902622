from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0045_which_link_was_copied"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="resource",
            name="resource_external_id_once",
        ),
        migrations.AddConstraint(
            model_name="resource",
            constraint=models.UniqueConstraint(
                condition=models.Q(("external_id", ""), _negated=True),
                fields=("service", "external_id"),
                name="resource_external_id_once",
            ),
        ),
    ]
