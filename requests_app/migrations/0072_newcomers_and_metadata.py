from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0071_saml"),
    ]

    operations = [
        migrations.AddField(
            model_name="signon",
            name="newcomer_role",
            field=models.CharField(
                blank=True,
                choices=[("member", "Member"), ("auditor", "Auditor")],
                db_default="",
                default="",
                max_length=16,
                verbose_name="role of people without an account",
            ),
        ),
        migrations.AddField(
            model_name="signon",
            name="metadata_failing_since",
            field=models.DateTimeField(blank=True, null=True, verbose_name="metadata unread since"),
        ),
        migrations.AddConstraint(
            model_name="signon",
            constraint=models.CheckConstraint(
                condition=Q(newcomer_role__in=["", "member", "auditor"]),
                name="newcomers_decide_nothing",
            ),
        ),
    ]
