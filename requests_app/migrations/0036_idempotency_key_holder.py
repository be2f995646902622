from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0035_whose_deputy_decided")]

    operations = [
        migrations.AddField(
            model_name="idempotencykey",
            name="holder",
            field=models.CharField(db_default="", default="", max_length=255),
        ),
    ]
