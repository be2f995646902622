import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0072_newcomers_and_metadata"),
    ]

    operations = [
        migrations.AddField(
            model_name="signon",
            name="metadata_signer",
            field=models.TextField(
                blank=True, db_default="", default="", verbose_name="certificate that signs the metadata"
            ),
        ),
        migrations.CreateModel(
            name="ProviderSignOn",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("issuer", models.CharField(max_length=300, verbose_name="issuer")),
                (
                    "identity_provider",
                    models.JSONField(blank=True, null=True, verbose_name="identity provider’s metadata"),
                ),
                (
                    "metadata_url",
                    models.CharField(
                        blank=True, db_default="", default="", max_length=300, verbose_name="address of the metadata"
                    ),
                ),
                ("metadata_checked_at", models.DateTimeField(blank=True, null=True, verbose_name="metadata read")),
                (
                    "metadata_problem",
                    models.CharField(
                        blank=True, db_default="", default="", max_length=40, verbose_name="problem with the metadata"
                    ),
                ),
                (
                    "metadata_failing_since",
                    models.DateTimeField(blank=True, null=True, verbose_name="metadata unread since"),
                ),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
            ],
            options={
                "verbose_name": "metadata for the provider’s single sign-on",
                "verbose_name_plural": "metadata for the provider’s single sign-on",
                "constraints": [models.UniqueConstraint(fields=("metadata_url",), name="provider_sign_on_once")],
            },
        ),
    ]
