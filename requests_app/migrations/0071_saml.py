from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0070_restored_from_a_backup"),
    ]

    operations = [
        migrations.AddField(
            model_name="signon",
            name="protocol",
            field=models.CharField(
                choices=[("oidc", "OpenID Connect"), ("saml", "SAML 2.0")],
                db_default="oidc",
                default="oidc",
                max_length=8,
                verbose_name="protocol",
            ),
        ),
        migrations.AddField(
            model_name="signon",
            name="identity_provider",
            field=models.JSONField(blank=True, null=True, verbose_name="identity provider’s metadata"),
        ),
        migrations.AddField(
            model_name="signon",
            name="metadata_url",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=300, verbose_name="address of the metadata"
            ),
        ),
        migrations.AddField(
            model_name="signon",
            name="metadata_checked_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="metadata read"),
        ),
        migrations.AddField(
            model_name="signon",
            name="metadata_problem",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=40, verbose_name="problem with the metadata"
            ),
        ),
        migrations.AddField(
            model_name="signon",
            name="email_claim",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=80, verbose_name="attribute with the address"
            ),
        ),
        migrations.AddField(
            model_name="signon",
            name="sealed_keys",
            field=models.TextField(blank=True, db_default="", default="", verbose_name="encrypted keys"),
        ),
        migrations.AddField(
            model_name="signon",
            name="is_proof",
            field=models.BooleanField(db_default=False, default=False, verbose_name="counts as a proof of identity"),
        ),
        migrations.AddConstraint(
            model_name="signon",
            constraint=models.CheckConstraint(
                condition=Q(protocol="oidc", identity_provider__isnull=True, is_proof=False)
                | Q(protocol="saml", identity_provider__isnull=False),
                name="sign_on_has_its_protocols_fields",
            ),
        ),
    ]
