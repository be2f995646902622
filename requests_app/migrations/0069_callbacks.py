import django.db.models.deletion
from django.db import migrations, models


def callback_fields(model):
    """Return the columns that say where the client of a task learns about its end."""
    return [
        migrations.AddField(
            model_name=model,
            name="callback",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="requests_app.webhook",
                verbose_name="callback address",
            ),
        ),
        migrations.AddField(
            model_name=model,
            name="callback_state",
            field=models.TextField(blank=True, db_default="", default="", verbose_name="state of the callback"),
        ),
        migrations.AddField(
            model_name=model,
            name="callback_events",
            field=models.JSONField(blank=True, null=True, verbose_name="events of the callback"),
        ),
    ]


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0068_signals_have_a_lane"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhook",
            name="client",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="callbacks",
                to="requests_app.client",
                verbose_name="for callbacks of",
            ),
        ),
        *callback_fields("accesstask"),
        *callback_fields("accessdraft"),
        migrations.AddField(
            model_name="accessdraft",
            name="source_url",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=500, verbose_name="address that the client names"
            ),
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="source_url",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=500,
                verbose_name="address that the client names",
            ),
        ),
        migrations.AddIndex(
            model_name="accesstask", index=models.Index(fields=["-expires_at"], name="access_task_newest")
        ),
        migrations.AddIndex(
            model_name="accessdraft", index=models.Index(fields=["-made_at"], name="access_draft_newest")
        ),
        migrations.AddIndex(
            model_name="accessdraft",
            index=models.Index(
                condition=models.Q(("ended_at", None)), fields=["expires_at"], name="access_draft_overdue"
            ),
        ),
    ]
