from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0054_view"),
    ]

    operations = [
        migrations.AddField(
            model_name="service",
            name="levels",
            field=models.TextField(
                blank=True, db_default="", default="", max_length=2000, verbose_name="levels of access"
            ),
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="service_words",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=200,
                verbose_name="the service’s words about the level",
            ),
        ),
    ]
