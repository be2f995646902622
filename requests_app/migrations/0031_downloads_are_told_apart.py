"""A download is a kind of its own. Webhooks that hear of what is opened go on hearing of what is downloaded."""

from django.db import migrations, models

_KINDS = [
    ("list_asked", "asked for a list of names"),
    ("listed", "names listed"),
    ("opened", "opened"),
    ("downloaded", "downloaded"),
    ("failed", "could not be read"),
    ("cut", "cut off"),
    ("list_allowed", "list allowed elsewhere"),
    ("read_allowed", "opening allowed elsewhere"),
    ("download_allowed", "download allowed elsewhere"),
]


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0030_webhooks_do_not_rest")]

    operations = [
        migrations.AlterField(
            model_name="contentaccess",
            name="kind",
            field=models.CharField(choices=_KINDS, max_length=16, verbose_name="kind"),
        ),
    ]
