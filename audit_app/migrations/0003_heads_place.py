from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit_app", "0002_signer_lease")]

    operations = [
        migrations.CreateModel(
            name="HeadsPlace",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("identity", models.CharField(max_length=64)),
            ],
            options={"verbose_name": "place of the heads"},
        ),
    ]
