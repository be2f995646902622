from django.db import migrations


def to_their_lane(apps, schema_editor):
    """Move the events that are sent to receivers of signal streams into the lane that the courier reads."""
    messages = apps.get_model("requests_app", "OutboxMessage").objects.using(schema_editor.connection.alias)
    messages.filter(lane="webhook", webhook__is_of_stream=True).update(lane="signal")


def back(apps, schema_editor):
    messages = apps.get_model("requests_app", "OutboxMessage").objects.using(schema_editor.connection.alias)
    messages.filter(lane="signal").update(lane="webhook")


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0067_guard_life"),
    ]

    operations = [
        migrations.RunPython(to_their_lane, back),
    ]
