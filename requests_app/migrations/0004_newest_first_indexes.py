"""The newest rows of all tenants, for the lists of the staff's portal: without these each list sorts its whole table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0003_row_level_security"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="accessrequest",
            index=models.Index(fields=["-submitted_at"], name="access_request_newest"),
        ),
        migrations.AddIndex(
            model_name="contentaccess",
            index=models.Index(fields=["-at"], name="content_access_newest"),
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(fields=["-at"], name="decision_newest"),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(fields=["-opens_at"], name="grant_newest"),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(fields=["-created_at"], name="outbox_newest"),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(condition=models.Q(("state", "parked")), fields=["-created_at"], name="outbox_parked"),
        ),
        migrations.AddIndex(
            model_name="ticket",
            index=models.Index(fields=["-opened_at"], name="ticket_newest"),
        ),
        migrations.AddIndex(
            model_name="ticketcomment",
            index=models.Index(fields=["-at"], name="ticket_comment_newest"),
        ),
    ]
