"""All tables of the product, with row-level security and the function of the decision point on PostgreSQL."""

import uuid

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from requests_app.migrations._create_tables import CreateTables

#: The tables that hold rows of tenants, each with the column that names the tenant.
TENANTS = {
    "requests_app_tenant": "id",
    **dict.fromkeys(
        (
            "requests_app_accessrequest",
            "requests_app_client",
            "requests_app_contentaccess",
            "requests_app_decision",
            "requests_app_directoryrecord",
            "requests_app_domain",
            "requests_app_grant",
            "requests_app_identity",
            "requests_app_invitation",
            "requests_app_membership",
            "requests_app_mute",
            "requests_app_notificationaddress",
            "requests_app_outboxmessage",
            "requests_app_outofoffice",
            "requests_app_passkey",
            "requests_app_proposal",
            "requests_app_proposal_touched",
            "requests_app_recoverykey",
            "requests_app_resource",
            "requests_app_signeddecision",
            "requests_app_signon",
            "requests_app_ticket",
            "requests_app_ticketcomment",
            "requests_app_webhook",
            "requests_app_webhookattempt",
        ),
        "tenant_id",
    ),
}
#: A tenant's people read which changes of the staff touch them. Only read: nobody of a tenant writes what staff proposed.
ANNOUNCED = (
    "CREATE POLICY announced ON requests_app_proposal FOR SELECT USING (tenant_id IS NULL AND EXISTS ("
    "SELECT 1 FROM requests_app_proposal_touched link WHERE link.proposal_id = requests_app_proposal.id))"
)
#: Everything that an answer of the decision point depends on, read and locked in one statement. A later migration that is
#: taken back makes this function again, and so it replaces another.
EVALUATION = """
    CREATE OR REPLACE FUNCTION requests_evaluation(
        asker uuid, token uuid, scope text, within uuid[], by_id uuid, by_email text, service_key text,
        by_key uuid, by_place text, of_tenant uuid, of_slug text, hold boolean
    ) RETURNS TABLE (
        at timestamptz, asker_is_active boolean, asker_is_staff boolean,
        token_until timestamptz, asker_has_scope boolean, asker_roles text[], asker_is_client_here boolean,
        person_id uuid, person_name text, human_id uuid,
        tenant_id uuid, tenant_slug text, resource_id uuid, resource_name text, locator text, is_active boolean,
        head_size bigint, head_last_at timestamptz, head_unsigned_since timestamptz,
        grant_id uuid, access_request_id uuid, reference text, level text, opens_at timestamptz, closes_at timestamptz,
        requester_human uuid, ticket_state text, is_engineer boolean, is_in_scope boolean
    ) LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
        person uuid; accounts uuid[]; service uuid; tenant uuid; thing uuid; owner uuid; matches int;
        head audit_app_chainhead; instant timestamptz;
    BEGIN
        IF by_email IS NULL THEN
            SELECT p.id INTO person FROM requests_app_person p WHERE p.id = by_id;
        ELSE
            SELECT p.id INTO person FROM requests_app_person p WHERE p.email = by_email;
        END IF;
        SELECT array_agg(own.id) INTO accounts FROM requests_app_person own
        WHERE own.human_id = (SELECT p.human_id FROM requests_app_person p WHERE p.id = person);
        SELECT s.id INTO service FROM requests_app_service s WHERE s.key = service_key;
        tenant := of_tenant;
        IF of_slug IS NOT NULL THEN
            SELECT t.id INTO tenant FROM requests_app_tenant t WHERE t.slug = of_slug;
        END IF;
        IF by_key IS NOT NULL THEN
            SELECT r.id, r.tenant_id INTO thing, owner FROM requests_app_resource r
            WHERE r.id = by_key AND r.service_id = service
            AND (r.tenant_id = tenant OR (of_tenant IS NULL AND of_slug IS NULL));
        ELSE
            SELECT r.id, r.tenant_id INTO thing, owner FROM requests_app_resource r
            WHERE r.tenant_id = tenant AND r.service_id = service AND r.locator = by_place;
            IF NOT FOUND THEN
                SELECT count(*), min(r.id::text)::uuid, tenant INTO matches, thing, owner FROM requests_app_resource r
                WHERE r.tenant_id = tenant AND r.service_id = service AND r.name = by_place;
                IF matches <> 1 THEN
                    thing := NULL; owner := NULL;
                END IF;
            END IF;
        END IF;
        IF owner IS NOT NULL AND within IS NOT NULL AND owner <> ALL (within) THEN
            thing := NULL; owner := NULL;
        END IF;
        IF hold AND owner IS NOT NULL THEN
            PERFORM 1 FROM requests_app_grant g JOIN requests_app_accessrequestresource line
                ON line.access_request_id = g.access_request_id AND line.resource_id = thing
            WHERE g.engineer_id = ANY (accounts) AND g.tenant_id = owner AND g.closed_at IS NULL
            ORDER BY g.id FOR NO KEY UPDATE OF g;
            head := audit_lock_head(owner);
        END IF;
        instant := clock_timestamp();
        RETURN QUERY
        SELECT instant, coalesce(a.is_active, false),
            coalesce(a.is_staff OR (c.id IS NOT NULL AND c.tenant_id IS NULL), false),
            held.expires_at,
            (held.id IS NULL OR jsonb_exists(held.scopes, scope)) AND (c.id IS NULL OR jsonb_exists(c.scopes, scope)),
            (SELECT array_agg(m.role::text) FROM requests_app_membership m
             WHERE m.person_id = a.id AND m.tenant_id = owner),
            coalesce(c.tenant_id = owner, false),
            p.id, p.name::text, p.human_id,
            r.tenant_id, t.slug::text, r.id, r.name::text, r.locator::text, r.is_active,
            head.size, head.last_at, head.unsigned_since,
            g.id, q.id, q.reference::text, g.level::text, g.opens_at, g.closes_at, q.requester_human, k.state::text,
            p.is_active AND p.side = 'provider' AND EXISTS (
                SELECT 1 FROM requests_app_queueassignment hat
                WHERE hat.person_id = p.id AND hat.service_id = q.service_id AND hat.role = 'engineer'),
            EXISTS (
                SELECT 1 FROM requests_app_accessrequestresource line
                WHERE line.access_request_id = q.id AND line.resource_id = r.id)
        FROM (SELECT 1) AS one
        LEFT JOIN requests_app_person a ON a.id = asker
        LEFT JOIN requests_app_client c ON c.account_id = a.id
        LEFT JOIN requests_app_token held ON held.id = token AND held.account_id = a.id AND held.revoked_at IS NULL
        LEFT JOIN requests_app_person p ON p.id = person
        LEFT JOIN requests_app_resource r ON r.id = thing
        LEFT JOIN requests_app_tenant t ON t.id = r.tenant_id
        LEFT JOIN requests_app_grant g
            ON g.engineer_id = ANY (accounts) AND g.tenant_id = owner AND g.closed_at IS NULL
        LEFT JOIN requests_app_accessrequest q ON q.id = g.access_request_id
        LEFT JOIN requests_app_ticket k ON k.id = q.ticket_id;
    END $$
"""
#: django-q2 makes these two look-ups several times a second, and has no index for them.
QUEUE_INDEXES = {
    "lockbox_ormq_key_lock": "django_q_ormq (key, lock)",
    "lockbox_schedule_next_run": "django_q_schedule (next_run)",
}
#: The migrations whose work this does. `migrate` records it in a database that has them all. It does not name them in
#: `replaces`, because Django cannot replace a migration that replaces others.
REPLACED = [
    ("requests_app", "0001_initial"),
    ("requests_app", "0002_django_q_indexes"),
    ("requests_app", "0003_row_level_security"),
    ("requests_app", "0004_newest_first_indexes"),
    ("requests_app", "0005_grant_closed_after_opening"),
    ("requests_app", "0006_verifiable_log"),
    ("requests_app", "0007_outbox_without_tenant"),
    ("requests_app", "0008_integrations"),
    ("requests_app", "0009_webhooks"),
    ("requests_app", "0010_evaluation"),
    ("requests_app", "0011_evaluation_in_postgresql"),
    ("requests_app", "0012_evaluation_reads_the_asker"),
    ("requests_app", "0013_passkeys"),
    ("requests_app", "0014_directory_records"),
    ("requests_app", "0015_second_factors"),
    ("requests_app", "0016_unclosed_grants_of_a_tenant"),
    ("requests_app", "0017_invitations_recovery_deputies"),
    ("requests_app", "0018_two_person_control"),
    ("requests_app", "0019_single_sign_on"),
    ("requests_app", "0020_signed_decisions"),
    ("requests_app", "0021_tries"),
    ("requests_app", "0022_approval_page"),
    ("requests_app", "0023_signed_with"),
    ("requests_app", "0024_lasting_tokens"),
    ("requests_app", "0025_verified_addresses"),
    ("requests_app", "0026_addresses_in_use_are_verified"),
    ("requests_app", "0027_mutes"),
    ("requests_app", "0028_names_are_counted_once"),
    ("requests_app", "0029_count_the_names_of_earlier_lists"),
    ("requests_app", "0030_webhooks_do_not_rest"),
    ("requests_app", "0031_downloads_are_told_apart"),
    ("requests_app", "0032_webhooks_hear_of_downloads"),
    ("requests_app", "0033_staff_changes"),
    ("requests_app", "0034_staff_terms"),
    ("requests_app", "0035_whose_deputy_decided"),
    ("requests_app", "0036_idempotency_key_holder"),
]


def _is_postgresql(schema_editor):
    return schema_editor.connection.vendor == "postgresql"


def hide(apps, schema_editor):
    """Hide the rows of other tenants from a connection that is told for whom it works."""
    if not _is_postgresql(schema_editor):
        return
    for table, column in TENANTS.items():
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        # FORCE: the application owns its tables, and PostgreSQL exempts an owner otherwise.
        schema_editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        schema_editor.execute(
            f"CREATE POLICY own_tenants ON {table} USING ("
            "  coalesce(current_setting('lockbox.tenants', true), '') = ''"
            f" OR {column} = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
            ")"
        )
    schema_editor.execute(ANNOUNCED)


def make(apps, schema_editor):
    if _is_postgresql(schema_editor):
        schema_editor.execute(EVALUATION)


def drop(apps, schema_editor):
    """PostgreSQL drops policies with their tables, but the one that reads a second table would keep that from it."""
    if _is_postgresql(schema_editor):
        schema_editor.execute("DROP FUNCTION requests_evaluation")
        schema_editor.execute("DROP POLICY announced ON requests_app_proposal")


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("audit_app", "0001_squashed_0009_keep_log_origin"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "stage",
                    models.CharField(
                        choices=[("provider", "Provider"), ("customer", "Customer")], max_length=8, verbose_name="stage"
                    ),
                ),
                (
                    "verdict",
                    models.CharField(
                        choices=[("approve", "Yes"), ("deny", "No")], max_length=8, verbose_name="verdict"
                    ),
                ),
                ("decider_human", models.UUIDField()),
                ("requester_human", models.UUIDField()),
                ("deputy_for", models.JSONField(blank=True, editable=False, null=True, verbose_name="deputy for")),
                ("comment", models.TextField(blank=True, verbose_name="comment")),
                ("door", models.CharField(max_length=16, verbose_name="door")),
                (
                    "manifest_digest",
                    models.CharField(blank=True, default="", max_length=64, verbose_name="digest of the signed text"),
                ),
                ("signed_with", models.JSONField(blank=True, editable=False, null=True, verbose_name="signed with")),
                ("at", models.DateTimeField(verbose_name="at")),
            ],
            options={
                "verbose_name": "decision",
                "verbose_name_plural": "decisions",
                "ordering": ["at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("decider_human", models.F("requester_human")), _negated=True),
                        name="decision_not_by_requester",
                    ),
                ],
                "indexes": [
                    models.Index(fields=["-at"], name="decision_newest"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("name", models.CharField(max_length=120, primary_key=True, serialize=False, verbose_name="name")),
                ("at", models.DateTimeField(db_index=True, verbose_name="last seen")),
                ("pid", models.PositiveIntegerField(verbose_name="process id")),
                ("detail", models.CharField(blank=True, default="", max_length=200, verbose_name="detail")),
            ],
            options={
                "verbose_name": "heartbeat",
                "verbose_name_plural": "heartbeats",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Plan",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=60, unique=True, verbose_name="name")),
                ("includes_lockbox", models.BooleanField(default=True, verbose_name="includes Lockbox")),
            ],
            options={
                "verbose_name": "plan",
                "verbose_name_plural": "plans",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Resource",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("mailbox", "mailbox"), ("library", "document library"), ("database", "database")],
                        max_length=16,
                        verbose_name="kind",
                    ),
                ),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                ("locator", models.CharField(max_length=400, verbose_name="locator")),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
            ],
            options={
                "verbose_name": "resource",
                "verbose_name_plural": "resources",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Service",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("key", models.SlugField(max_length=60, unique=True, verbose_name="key")),
                ("name", models.CharField(max_length=80, verbose_name="name")),
                ("connector", models.CharField(max_length=40, verbose_name="connector")),
                ("is_covered", models.BooleanField(default=True, verbose_name="covered by Lockbox")),
            ],
            options={
                "verbose_name": "service",
                "verbose_name_plural": "services",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="TaskAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=120, unique=True, verbose_name="key")),
                ("name", models.CharField(max_length=200, verbose_name="task")),
                ("attempts", models.PositiveIntegerField(default=0, verbose_name="attempts")),
                ("first_at", models.DateTimeField(verbose_name="first attempt")),
                ("last_at", models.DateTimeField(verbose_name="last attempt")),
                ("parked_at", models.DateTimeField(blank=True, db_index=True, null=True, verbose_name="parked")),
                ("last_error", models.TextField(blank=True, default="", verbose_name="last error")),
            ],
            options={
                "verbose_name": "unfinished task",
                "verbose_name_plural": "unfinished tasks",
                "ordering": ["-last_at"],
            },
        ),
        migrations.CreateModel(
            name="Tries",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subject", models.CharField(max_length=80, unique=True)),
                ("since", models.DateTimeField()),
                ("count", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Person",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("email", models.EmailField(max_length=254, unique=True, verbose_name="email")),
                (
                    "email_verified_at",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="address verified"),
                ),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                (
                    "side",
                    models.CharField(
                        choices=[("provider", "Provider"), ("customer", "Customer")], max_length=8, verbose_name="side"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("human", "Person"), ("client", "Client")],
                        default="human",
                        editable=False,
                        max_length=8,
                        verbose_name="kind",
                    ),
                ),
                ("human_id", models.UUIDField(db_index=True, default=uuid.uuid4, editable=False)),
                ("time_zone", models.CharField(default="UTC", max_length=64, verbose_name="time zone")),
                ("language", models.CharField(default="en", max_length=16, verbose_name="language")),
                (
                    "theme",
                    models.CharField(
                        choices=[("system", "Same as the device"), ("light", "Light"), ("dark", "Dark")],
                        default="system",
                        max_length=8,
                        verbose_name="theme",
                    ),
                ),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
                ("is_staff", models.BooleanField(default=False, verbose_name="staff")),
                ("created_at", models.DateTimeField(editable=False, verbose_name="created")),
                (
                    "totp_set_up_at",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="authenticator app since"),
                ),
                ("session_epoch", models.PositiveIntegerField(db_default=0, default=0, editable=False)),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
            options={
                "verbose_name": "person",
                "verbose_name_plural": "people",
                "ordering": ["name"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("is_staff", False), ("side", "provider"), _connector="OR"),
                        name="person_staff_is_provider",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("kind", "human"), models.Q(("is_staff", False), ("is_superuser", False)), _connector="OR"
                        ),
                        name="person_client_is_no_staff",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AccessRequest",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("reference", models.CharField(max_length=16, unique=True, verbose_name="reference")),
                (
                    "reason_kind",
                    models.CharField(
                        choices=[
                            ("customer_ticket", "A customer's ticket"),
                            ("provider_initiated", "A problem that the provider found"),
                            ("legal_demand", "A law-enforcement demand"),
                        ],
                        max_length=20,
                        verbose_name="reason",
                    ),
                ),
                ("authority", models.CharField(blank=True, max_length=200, verbose_name="authority")),
                ("instrument", models.CharField(blank=True, max_length=200, verbose_name="instrument")),
                (
                    "demand_reference",
                    models.CharField(blank=True, max_length=120, verbose_name="reference number of the demand"),
                ),
                ("demand_date", models.DateField(blank=True, null=True, verbose_name="date of the demand")),
                ("tried", models.TextField(verbose_name="what was tried")),
                ("justification", models.TextField(verbose_name="why there is no other way")),
                (
                    "level",
                    models.CharField(
                        choices=[("names", "names only"), ("read", "read")], max_length=8, verbose_name="how much"
                    ),
                ),
                ("window_for", models.PositiveIntegerField(verbose_name="window (seconds)")),
                ("requester_human", models.UUIDField()),
                ("needs_customer_approval", models.BooleanField(verbose_name="needs the customer's approval")),
                ("content_digest", models.CharField(max_length=64, verbose_name="digest")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("PENDING_PROVIDER", "Waiting for the provider"),
                            ("PENDING_CUSTOMER", "Waiting for the customer"),
                            ("OPEN", "Open"),
                            ("DENIED", "Denied"),
                            ("WITHDRAWN", "Withdrawn"),
                            ("EXPIRED", "Expired"),
                            ("CLOSED", "Closed"),
                        ],
                        default="PENDING_PROVIDER",
                        max_length=20,
                        verbose_name="state",
                    ),
                ),
                ("submitted_at", models.DateTimeField(verbose_name="submitted")),
                ("state_changed_at", models.DateTimeField(verbose_name="changed")),
                ("decide_by", models.DateTimeField(verbose_name="decide by")),
                (
                    "previous",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="following",
                        to="requests_app.accessrequest",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="access_requests",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "access request",
                "verbose_name_plural": "access requests",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "state__in",
                                [
                                    "PENDING_PROVIDER",
                                    "PENDING_CUSTOMER",
                                    "OPEN",
                                    "DENIED",
                                    "WITHDRAWN",
                                    "EXPIRED",
                                    "CLOSED",
                                ],
                            )
                        ),
                        name="access_request_state_known",
                    ),
                ],
                "indexes": [
                    models.Index(fields=["-submitted_at"], name="access_request_newest"),
                    models.Index(fields=["requested_by", "-submitted_at"], name="access_request_by_engineer"),
                    models.Index(
                        condition=models.Q(("state__in", ["PENDING_CUSTOMER", "PENDING_PROVIDER"])),
                        fields=["decide_by"],
                        name="access_request_overdue",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AddressChange",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("email_before", models.EmailField(max_length=254, verbose_name="former address")),
                ("email", models.EmailField(max_length=254, verbose_name="new address")),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("requested_at", models.DateTimeField(verbose_name="asked for")),
                ("expires_at", models.DateTimeField(verbose_name="until")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                ("confirmed_at", models.DateTimeField(blank=True, null=True, verbose_name="confirmed")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="address_changes",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
                    ),
                ),
            ],
            options={
                "verbose_name": "change of an address",
                "verbose_name_plural": "changes of addresses",
                "ordering": ["-requested_at"],
                "indexes": [
                    models.Index(fields=["person", "-requested_at"], name="address_change_by_person"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Client",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("scopes", models.JSONField(default=list, verbose_name="scopes")),
                ("secret_hash", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("secret_at", models.DateTimeField(verbose_name="secret since")),
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="client", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "decides_for",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="decides for",
                    ),
                ),
            ],
            options={
                "verbose_name": "client",
                "verbose_name_plural": "clients",
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="SignedDecision",
            fields=[
                (
                    "decision",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="signature",
                        serialize=False,
                        to="requests_app.decision",
                    ),
                ),
                ("manifest", models.TextField(verbose_name="signed text")),
                ("assertion", models.JSONField(verbose_name="the passkey’s answer")),
                ("nonce", models.CharField(max_length=128)),
            ],
            options={
                "verbose_name": "signed decision",
                "verbose_name_plural": "signed decisions",
                "constraints": [
                    models.UniqueConstraint(fields=("nonce",), name="signed_decision_nonce_once"),
                ],
            },
        ),
        migrations.AddField(
            model_name="decision",
            name="access_request",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="decisions", to="requests_app.accessrequest"
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="client",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="requests_app.client",
                verbose_name="through",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="decider",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="decisions", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=255)),
                ("asked", models.CharField(max_length=64)),
                ("claim", models.UUIDField(default=uuid.uuid4, unique=True)),
                ("begun_at", models.DateTimeField()),
                ("claimed_until", models.DateTimeField()),
                ("holder", models.CharField(db_default="", default="", max_length=255)),
                ("done_at", models.DateTimeField(null=True)),
                ("subject_type", models.CharField(blank=True, max_length=40)),
                ("subject_id", models.CharField(blank=True, max_length=64)),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("headers", models.JSONField(default=dict)),
                ("body", models.BinaryField(null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AccessRequestResource",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveSmallIntegerField()),
                (
                    "access_request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="scope",
                        to="requests_app.accessrequest",
                    ),
                ),
                (
                    "resource",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="requests_app.resource"
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
                "constraints": [
                    models.UniqueConstraint(fields=("access_request", "resource"), name="scope_resource_once"),
                ],
            },
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="resources",
            field=models.ManyToManyField(
                related_name="access_requests", through="requests_app.AccessRequestResource", to="requests_app.resource"
            ),
        ),
        migrations.AddField(
            model_name="resource",
            name="service",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="resources", to="requests_app.service"
            ),
        ),
        migrations.CreateModel(
            name="QueueAssignment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "role",
                    models.CharField(
                        choices=[("engineer", "Engineer"), ("provider_approver", "Provider approver")],
                        max_length=20,
                        verbose_name="role",
                    ),
                ),
                ("given_at", models.DateTimeField(verbose_name="since")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="queue_assignments",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "service",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="queue_assignments",
                        to="requests_app.service",
                    ),
                ),
            ],
            options={
                "verbose_name": "queue assignment",
                "verbose_name_plural": "queue assignments",
                "constraints": [
                    models.UniqueConstraint(fields=("service", "person", "role"), name="queue_assignment_once"),
                ],
            },
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="service",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="access_requests", to="requests_app.service"
            ),
        ),
        migrations.CreateModel(
            name="StaffTerm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("human_id", models.UUIDField()),
                ("from_at", models.DateTimeField(verbose_name="from")),
                ("until_at", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="staff_terms",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "period on the staff",
                "verbose_name_plural": "periods on the staff",
                "ordering": ["from_at"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("until_at", None)), fields=("person",), name="staff_term_open_once"
                    ),
                ],
                "indexes": [
                    models.Index(fields=["until_at"], name="staff_term_by_end"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Tenant",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=120, unique=True, verbose_name="name")),
                ("slug", models.SlugField(max_length=60, unique=True, verbose_name="short name")),
                ("lockbox_on", models.BooleanField(default=False, verbose_name="Lockbox on")),
                (
                    "lockbox_first_on_at",
                    models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="Lockbox first switched on at"
                    ),
                ),
                (
                    "window_cap",
                    models.PositiveIntegerField(
                        default=14400,
                        validators=[
                            django.core.validators.MinValueValidator(60),
                            django.core.validators.MaxValueValidator(28800),
                        ],
                        verbose_name="maximum length of windows (seconds)",
                    ),
                ),
                ("time_zone", models.CharField(default="UTC", max_length=64, verbose_name="time zone")),
                (
                    "cosigned_within",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(168),
                        ],
                        verbose_name="maximum age of the witness’s cosignature (hours)",
                    ),
                ),
                (
                    "log_retention_days",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(30),
                            django.core.validators.MaxValueValidator(36500),
                        ],
                        verbose_name="log stored for (days)",
                    ),
                ),
                ("needs_two", models.BooleanField(default=False, verbose_name="two-person control")),
                (
                    "yes_rule",
                    models.CharField(
                        choices=[
                            ("any", "signed or not"),
                            ("signed", "signed with a passkey"),
                            ("device_bound", "signed with a passkey that can’t leave its device"),
                        ],
                        default="any",
                        editable=False,
                        max_length=12,
                        verbose_name="approval requirements",
                    ),
                ),
                (
                    "approval_origin",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        editable=False,
                        max_length=300,
                        verbose_name="own approval page",
                    ),
                ),
                (
                    "approval_rp_id",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        editable=False,
                        max_length=253,
                        verbose_name="site of the passkeys",
                    ),
                ),
                (
                    "own_keys_only",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        editable=False,
                        verbose_name="approvals need a passkey of the approval page",
                    ),
                ),
                ("created_at", models.DateTimeField(editable=False, verbose_name="created")),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tenants",
                        to="requests_app.plan",
                        verbose_name="plan",
                    ),
                ),
            ],
            options={
                "verbose_name": "tenant",
                "verbose_name_plural": "tenants",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="SignOn",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("issuer", models.CharField(max_length=300, verbose_name="issuer")),
                ("client_id", models.CharField(max_length=254, verbose_name="client id")),
                ("sealed", models.TextField(verbose_name="encrypted secret")),
                ("scopes", models.CharField(default="openid profile email", max_length=200, verbose_name="scopes")),
                ("groups_claim", models.CharField(blank=True, max_length=80, verbose_name="claim with the groups")),
                (
                    "key_claim",
                    models.CharField(default="sub", max_length=80, verbose_name="claim with the id in the directory"),
                ),
                ("role_map", models.JSONField(default=dict, verbose_name="roles by group")),
                ("is_on", models.BooleanField(default=False, verbose_name="on")),
                ("is_only", models.BooleanField(default=False, verbose_name="the only way to sign in")),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
                (
                    "break_glass",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="sign_on", to="requests_app.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "single sign-on",
                "verbose_name_plural": "single sign-on",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("is_only", False),
                            models.Q(("break_glass__isnull", False), ("is_on", True)),
                            _connector="OR",
                        ),
                        name="sign_on_only_has_a_way_back",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="resource",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="resources", to="requests_app.tenant"
            ),
        ),
        migrations.CreateModel(
            name="RecoveryKey",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("made_at", models.DateTimeField(verbose_name="made")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                ("used_at", models.DateTimeField(blank=True, null=True, verbose_name="used")),
                (
                    "made_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="made by",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="recovery_keys",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "recovery key",
                "verbose_name_plural": "recovery keys",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)), fields=("tenant",), name="recovery_key_one_at_a_time"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Proposal",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("act", models.CharField(max_length=40, verbose_name="act")),
                ("said", models.JSONField(default=dict, verbose_name="what")),
                ("proposed_human", models.UUIDField()),
                ("proposed_at", models.DateTimeField(verbose_name="proposed")),
                ("expires_at", models.DateTimeField(verbose_name="until")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                ("confirmed_human", models.UUIDField(blank=True, null=True)),
                ("confirmed_at", models.DateTimeField(blank=True, null=True, verbose_name="confirmed")),
                ("effective_at", models.DateTimeField(blank=True, null=True, verbose_name="takes effect")),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("applied", "took effect"),
                            ("withdrawn", "withdrawn"),
                            ("lapsed", "did not take effect"),
                        ],
                        db_default="",
                        default="",
                        max_length=12,
                        verbose_name="outcome",
                    ),
                ),
                (
                    "confirmed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="confirmed by",
                    ),
                ),
                (
                    "proposed_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="proposed by",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="proposals",
                        to="requests_app.tenant",
                        verbose_name="tenant",
                    ),
                ),
                ("touched", models.ManyToManyField(editable=False, related_name="+", to="requests_app.tenant")),
            ],
            options={
                "verbose_name": "proposal",
                "verbose_name_plural": "proposals",
                "ordering": ["-proposed_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("confirmed_by", None),
                            models.Q(("confirmed_by", models.F("proposed_by")), _negated=True),
                            _connector="OR",
                        ),
                        name="proposal_confirmed_by_another",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("confirmed_human", None),
                            models.Q(("confirmed_human", models.F("proposed_human")), _negated=True),
                            _connector="OR",
                        ),
                        name="proposal_confirmed_by_another_human",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("outcome", "applied"), _negated=True),
                            models.Q(("effective_at__isnull", False), ("ended_at__gte", models.F("effective_at"))),
                            _connector="OR",
                        ),
                        name="proposal_applied_when_due",
                    ),
                ],
                "indexes": [
                    models.Index(fields=["tenant", "-proposed_at"], name="proposal_by_tenant"),
                    models.Index(
                        condition=models.Q(("ended_at", None), ("tenant", None)),
                        fields=["effective_at"],
                        name="proposal_of_staff_due",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Passkey",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("credential_id", models.BinaryField(max_length=1023, unique=True)),
                ("public_key", models.BinaryField(max_length=4096)),
                ("algorithm", models.CharField(max_length=8, verbose_name="algorithm")),
                ("rp_id", models.CharField(max_length=253, verbose_name="site")),
                ("origin", models.CharField(max_length=300, verbose_name="added on")),
                ("aaguid", models.CharField(max_length=36, verbose_name="model (AAGUID)")),
                ("is_backup_eligible", models.BooleanField(verbose_name="can be copied")),
                ("is_backed_up", models.BooleanField(verbose_name="has been copied")),
                ("sign_count", models.PositiveBigIntegerField(default=0, verbose_name="counter")),
                ("enrolled", models.JSONField(default=dict, verbose_name="entries in the logs")),
                ("created_at", models.DateTimeField(verbose_name="added")),
                ("removed_at", models.DateTimeField(blank=True, null=True, verbose_name="removed")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="passkeys",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "removed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="passkeys",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "passkey",
                "verbose_name_plural": "passkeys",
                "ordering": ["created_at"],
                "indexes": [
                    models.Index(condition=models.Q(("removed_at", None)), fields=["person"], name="passkey_in_use"),
                ],
            },
        ),
        migrations.CreateModel(
            name="OutOfOffice",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("from_at", models.DateTimeField(verbose_name="from")),
                ("until_at", models.DateTimeField(verbose_name="until")),
                ("set_at", models.DateTimeField(verbose_name="set")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended early")),
                (
                    "approver",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="absences",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="approver",
                    ),
                ),
                (
                    "deputy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deputisings",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="deputy",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="absences", to="requests_app.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "absence",
                "verbose_name_plural": "absences",
                "ordering": ["from_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("until_at__gt", models.F("from_at"))),
                        name="out_of_office_ends_after_it_begins",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("approver", models.F("deputy")), _negated=True),
                        name="out_of_office_deputy_is_another",
                    ),
                ],
                "indexes": [
                    models.Index(fields=["tenant", "-until_at"], name="out_of_office_by_tenant"),
                    models.Index(fields=["deputy", "-until_at"], name="out_of_office_by_deputy"),
                ],
            },
        ),
        migrations.CreateModel(
            name="NotificationAddress",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("email", models.EmailField(max_length=254, verbose_name="email")),
                ("label", models.CharField(blank=True, max_length=80, verbose_name="label")),
                ("created_at", models.DateTimeField(editable=False, verbose_name="created")),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notification_addresses",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "notification address",
                "verbose_name_plural": "notification addresses",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "email"), name="notification_address_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Mute",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("note", models.TextField(blank=True, verbose_name="comment")),
                ("denied", models.PositiveIntegerField(default=0, verbose_name="denied")),
                ("set_at", models.DateTimeField(verbose_name="set")),
                ("until_at", models.DateTimeField(verbose_name="until")),
                ("lifted_at", models.DateTimeField(blank=True, null=True, verbose_name="lifted early")),
                (
                    "engineer",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="engineer",
                    ),
                ),
                (
                    "set_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="set by",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="mutes", to="requests_app.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "mute",
                "verbose_name_plural": "mutes",
                "ordering": ["until_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("until_at__gt", models.F("set_at"))), name="mute_ends_after_it_begins"
                    ),
                ],
                "indexes": [
                    models.Index(fields=["tenant", "-until_at"], name="mute_by_tenant"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("member", "Member"),
                            ("approver", "Approver"),
                            ("auditor", "Auditor"),
                            ("administrator", "Administrator"),
                            ("deputy", "Deputy"),
                        ],
                        max_length=16,
                        verbose_name="role",
                    ),
                ),
                ("given_at", models.DateTimeField(verbose_name="since")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="memberships",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="memberships",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "membership",
                "verbose_name_plural": "memberships",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "person", "role"), name="membership_once"),
                ],
                "indexes": [
                    models.Index(fields=["tenant", "role"], name="membership_by_role"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("email", models.EmailField(max_length=254, verbose_name="email")),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("member", "Member"),
                            ("approver", "Approver"),
                            ("auditor", "Auditor"),
                            ("administrator", "Administrator"),
                            ("deputy", "Deputy"),
                        ],
                        max_length=16,
                        verbose_name="role",
                    ),
                ),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("sends", models.PositiveSmallIntegerField(default=1, verbose_name="times sent")),
                ("created_at", models.DateTimeField(verbose_name="invited")),
                ("valid_from", models.DateTimeField(verbose_name="valid from")),
                ("expires_at", models.DateTimeField(verbose_name="valid until")),
                ("was_confirmed", models.BooleanField(default=False, verbose_name="confirmed by a second person")),
                ("accepted_at", models.DateTimeField(blank=True, null=True, verbose_name="accepted")),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True, verbose_name="withdrawn")),
                (
                    "accepted_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="accepted by",
                    ),
                ),
                (
                    "invited_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="invited by",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invitations",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "invitation",
                "verbose_name_plural": "invitations",
                "ordering": ["-created_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("accepted_at", None), ("withdrawn_at", None), _connector="OR"),
                        name="invitation_ends_once",
                    ),
                ],
                "indexes": [
                    models.Index(fields=["tenant", "-created_at"], name="invitation_by_tenant"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Identity",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("issuer", models.CharField(max_length=300, verbose_name="issuer")),
                ("subject", models.CharField(max_length=255, verbose_name="subject")),
                ("linked_at", models.DateTimeField(verbose_name="since")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="identities",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="identities",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "identity",
                "verbose_name_plural": "identities",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("tenant__isnull", False)),
                        fields=("tenant", "issuer", "subject"),
                        name="identity_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("tenant", None)),
                        fields=("issuer", "subject"),
                        name="identity_once_at_the_provider",
                    ),
                ],
                "indexes": [
                    models.Index(fields=["issuer", "subject"], name="identity_by_subject"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Grant",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "level",
                    models.CharField(
                        choices=[("names", "names only"), ("read", "read")], max_length=8, verbose_name="how much"
                    ),
                ),
                ("opens_at", models.DateTimeField(verbose_name="opens")),
                ("closes_at", models.DateTimeField(verbose_name="closes")),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed")),
                (
                    "close_reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("released", "closed by the engineer"),
                            ("revoked", "closed early"),
                            ("elapsed", "closed as planned"),
                        ],
                        max_length=10,
                        verbose_name="how it closed",
                    ),
                ),
                (
                    "access_request",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="grant",
                        to="requests_app.accessrequest",
                    ),
                ),
                (
                    "closed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "engineer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="grants", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="grants", to="requests_app.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "grant",
                "verbose_name_plural": "grants",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("closes_at__gt", models.F("opens_at"))), name="grant_window_is_positive"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("closed_at", None), ("closed_at__gte", models.F("opens_at")), _connector="OR"
                        ),
                        name="grant_closed_after_opening",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("close_reason", ""), ("closed_at", None)),
                            models.Q(("closed_at__isnull", False), models.Q(("close_reason", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="grant_closed_with_reason",
                    ),
                ],
                "indexes": [
                    models.Index(fields=["tenant", "-opens_at"], name="grant_by_tenant"),
                    models.Index(fields=["-opens_at"], name="grant_newest"),
                    models.Index(fields=["engineer", "-opens_at"], name="grant_by_engineer"),
                    models.Index(condition=models.Q(("closed_at", None)), fields=["closes_at"], name="grant_unclosed"),
                    models.Index(
                        condition=models.Q(("closed_at", None)),
                        fields=["engineer", "closes_at"],
                        name="grant_unclosed_by_engineer",
                    ),
                    models.Index(
                        condition=models.Q(("closed_at", None)),
                        fields=["tenant", "engineer"],
                        name="grant_unclosed_in_tenant",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Domain",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=253, verbose_name="domain")),
                ("challenge", models.CharField(max_length=64)),
                ("claimed_at", models.DateTimeField(verbose_name="added")),
                ("verified_at", models.DateTimeField(blank=True, null=True, verbose_name="verified")),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="domains", to="requests_app.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "domain",
                "verbose_name_plural": "domains",
                "ordering": ["name"],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "name"), name="domain_once_in_a_tenant"),
                    models.UniqueConstraint(
                        condition=models.Q(("verified_at__isnull", False)), fields=("name",), name="domain_proven_once"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DirectoryRecord",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("user_name", models.CharField(max_length=254, verbose_name="user name")),
                ("user_key", models.CharField(max_length=254)),
                ("external_id", models.CharField(blank=True, max_length=254, verbose_name="id in the directory")),
                ("given_name", models.CharField(blank=True, max_length=120, verbose_name="given name")),
                ("family_name", models.CharField(blank=True, max_length=120, verbose_name="family name")),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
                ("removed_at", models.DateTimeField(blank=True, null=True, verbose_name="removed")),
                (
                    "person",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="directory",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="directory_records",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "directory record",
                "verbose_name_plural": "directory records",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("removed_at", None)),
                        fields=("tenant", "user_key"),
                        name="directory_user_name_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("removed_at", None), models.Q(("external_id", ""), _negated=True)),
                        fields=("tenant", "external_id"),
                        name="directory_external_id_once",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="decision",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="requests_app.tenant"
            ),
        ),
        migrations.CreateModel(
            name="ContentAccess",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("list_asked", "requested a list of names"),
                            ("listed", "names listed"),
                            ("opened", "opened"),
                            ("downloaded", "downloaded"),
                            ("failed", "could not be read"),
                            ("cut", "interrupted"),
                            ("list_allowed", "listing through another service allowed"),
                            ("read_allowed", "reading through another service allowed"),
                            ("download_allowed", "download through another service allowed"),
                        ],
                        max_length=16,
                        verbose_name="kind",
                    ),
                ),
                ("item_id", models.CharField(blank=True, max_length=1024, verbose_name="item")),
                ("item_ref", models.CharField(blank=True, max_length=1024, verbose_name="item's name")),
                ("part", models.CharField(blank=True, max_length=64, verbose_name="part")),
                ("count", models.PositiveIntegerField(default=0, verbose_name="names")),
                (
                    "new_names",
                    models.PositiveIntegerField(
                        db_default=0, default=0, verbose_name="names listed for the first time"
                    ),
                ),
                ("listed_ids", models.BinaryField(db_default=b"", default=b"")),
                ("at", models.DateTimeField(verbose_name="at")),
                (
                    "grant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="content_accesses",
                        to="requests_app.grant",
                    ),
                ),
                (
                    "resource",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="requests_app.resource"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="content_accesses",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "content access",
                "verbose_name_plural": "content accesses",
                "ordering": ["at"],
                "indexes": [
                    models.Index(fields=["tenant", "grant", "-at"], name="content_access_by_grant"),
                    models.Index(fields=["tenant", "-at"], name="content_access_by_tenant"),
                    models.Index(fields=["-at"], name="content_access_newest"),
                ],
            },
        ),
        migrations.AddField(
            model_name="client",
            name="tenant",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="clients",
                to="requests_app.tenant",
            ),
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="access_requests", to="requests_app.tenant"
            ),
        ),
        migrations.CreateModel(
            name="Ticket",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("reference", models.CharField(max_length=16, unique=True, verbose_name="reference")),
                ("title", models.CharField(max_length=200, verbose_name="title")),
                ("body", models.TextField(verbose_name="what happened")),
                (
                    "origin",
                    models.CharField(
                        choices=[
                            ("customer", "Opened by the customer"),
                            ("recorded", "Recorded for a customer who called or wrote"),
                            ("provider", "Found by the provider"),
                        ],
                        max_length=12,
                        verbose_name="origin",
                    ),
                ),
                (
                    "priority",
                    models.CharField(
                        choices=[("low", "Low"), ("normal", "Normal"), ("high", "High")],
                        default="normal",
                        max_length=8,
                        verbose_name="priority",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("NEW", "New"),
                            ("ASSIGNED", "Assigned"),
                            ("WAITING_FOR_CUSTOMER", "Waiting for the customer"),
                            ("RESOLVED", "Resolved"),
                            ("CLOSED", "Closed"),
                        ],
                        default="NEW",
                        max_length=24,
                        verbose_name="state",
                    ),
                ),
                (
                    "external_reference",
                    models.CharField(blank=True, max_length=120, verbose_name="reference elsewhere"),
                ),
                ("external_url", models.URLField(blank=True, max_length=500, verbose_name="address elsewhere")),
                ("opened_at", models.DateTimeField(verbose_name="opened")),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
                ("resolved_at", models.DateTimeField(blank=True, null=True, verbose_name="resolved")),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed")),
                (
                    "assignee",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="assigned_tickets",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "on_behalf_of",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tickets_on_behalf",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "opened_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="opened_tickets",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "service",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="tickets", to="requests_app.service"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="tickets", to="requests_app.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "ticket",
                "verbose_name_plural": "tickets",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["NEW", "ASSIGNED", "WAITING_FOR_CUSTOMER", "RESOLVED", "CLOSED"])
                        ),
                        name="ticket_state_known",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("external_reference", ""), _negated=True),
                        fields=("tenant", "external_reference"),
                        name="ticket_external_reference_once",
                    ),
                ],
                "indexes": [
                    models.Index(fields=["tenant", "state", "-changed_at"], name="ticket_by_tenant"),
                    models.Index(fields=["-opened_at"], name="ticket_newest"),
                    models.Index(fields=["service", "state", "-changed_at"], name="ticket_by_queue"),
                    models.Index(fields=["assignee", "state", "-changed_at"], name="ticket_by_assignee"),
                ],
            },
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="ticket",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="access_requests",
                to="requests_app.ticket",
            ),
        ),
        migrations.CreateModel(
            name="TicketComment",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("body", models.TextField(verbose_name="text")),
                ("is_internal", models.BooleanField(default=False, verbose_name="internal")),
                ("at", models.DateTimeField(verbose_name="at")),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="requests_app.tenant"
                    ),
                ),
                (
                    "ticket",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="comments", to="requests_app.ticket"
                    ),
                ),
            ],
            options={
                "verbose_name": "ticket comment",
                "verbose_name_plural": "ticket comments",
                "ordering": ["at"],
                "indexes": [
                    models.Index(fields=["tenant", "ticket", "at"], name="ticket_comment_by_ticket"),
                    models.Index(fields=["-at"], name="ticket_comment_newest"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Token",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("personal", "personal token"),
                            ("access", "access token of an API client"),
                            ("lasting", "long-lived token of a directory"),
                        ],
                        max_length=8,
                        verbose_name="kind",
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=80, verbose_name="name")),
                ("scopes", models.JSONField(default=list, verbose_name="scopes")),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("hint", models.CharField(max_length=4, verbose_name="ends with")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                ("last_used_at", models.DateTimeField(blank=True, null=True, verbose_name="last used")),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="revoked")),
                ("stepped_up_at", models.DateTimeField(blank=True, null=True, verbose_name="confirmed")),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="tokens", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "revoked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "token",
                "verbose_name_plural": "tokens",
                "ordering": ["-created_at"],
                "indexes": [
                    models.Index(fields=["account", "-created_at"], name="token_by_account"),
                    models.Index(fields=["-created_at"], name="token_newest"),
                    models.Index(fields=["expires_at"], name="token_by_expiry"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Webhook",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("url", models.CharField(max_length=1000, verbose_name="address")),
                ("label", models.CharField(blank=True, max_length=80, verbose_name="label")),
                ("events", models.JSONField(default=list, verbose_name="events")),
                ("sealed", models.TextField(blank=True, verbose_name="encrypted keys")),
                ("public_key", models.CharField(max_length=80, verbose_name="public key")),
                ("former_sealed", models.TextField(blank=True, verbose_name="encrypted former keys")),
                ("former_until", models.DateTimeField(blank=True, null=True, verbose_name="former keys valid until")),
                ("created_at", models.DateTimeField(verbose_name="added")),
                ("from_at", models.DateTimeField(verbose_name="messages since")),
                ("is_on", models.BooleanField(default=True, verbose_name="on")),
                ("off_at", models.DateTimeField(blank=True, null=True, verbose_name="switched off")),
                (
                    "off_because",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("person", "switched off by somebody"),
                            ("gone", "the receiver answered that its address no longer exists (410)"),
                            ("failing", "it failed for several days"),
                        ],
                        max_length=8,
                        verbose_name="why it is off",
                    ),
                ),
                ("failures", models.PositiveIntegerField(default=0, verbose_name="failures in a row")),
                ("failing_since", models.DateTimeField(blank=True, null=True, verbose_name="failing since")),
                ("removed_at", models.DateTimeField(blank=True, null=True, verbose_name="removed")),
                (
                    "tenant",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="webhooks",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook",
                "verbose_name_plural": "webhooks",
                "ordering": ["created_at"],
                "indexes": [
                    models.Index(fields=["tenant", "created_at"], name="webhook_by_tenant"),
                ],
            },
        ),
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("topic", models.CharField(max_length=64, verbose_name="topic")),
                ("about", models.UUIDField(verbose_name="about")),
                ("mark", models.CharField(blank=True, max_length=64, verbose_name="mark")),
                ("key", models.CharField(max_length=450, unique=True, verbose_name="key")),
                ("lane", models.CharField(default="mail", max_length=16, verbose_name="lane")),
                ("payload", models.JSONField(default=dict, verbose_name="payload")),
                ("recipient", models.CharField(blank=True, max_length=254, verbose_name="recipient")),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "waiting"), ("delivered", "delivered"), ("parked", "parked")],
                        default="waiting",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0, verbose_name="attempts")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("next_attempt_at", models.DateTimeField(verbose_name="next attempt")),
                ("claimed_until", models.DateTimeField(blank=True, null=True, verbose_name="claimed until")),
                ("delivered_at", models.DateTimeField(blank=True, null=True, verbose_name="delivered")),
                ("last_error", models.CharField(blank=True, max_length=500, verbose_name="last error")),
                ("rendered", models.JSONField(blank=True, null=True, verbose_name="as sent")),
                ("seq", models.PositiveBigIntegerField(blank=True, null=True, verbose_name="number in the log")),
                (
                    "person",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="outbox_messages",
                        to="requests_app.tenant",
                    ),
                ),
                (
                    "webhook",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="messages",
                        to="requests_app.webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "outbox message",
                "verbose_name_plural": "outbox messages",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "waiting")),
                        fields=["lane", "next_attempt_at"],
                        name="outbox_waiting",
                    ),
                    models.Index(fields=["tenant", "-created_at"], name="outbox_by_tenant"),
                    models.Index(fields=["-created_at"], name="outbox_newest"),
                    models.Index(condition=models.Q(("state", "parked")), fields=["-created_at"], name="outbox_parked"),
                    models.Index(fields=["about", "topic", "mark"], name="outbox_by_subject"),
                    models.Index(
                        condition=models.Q(("state", "waiting"), ("webhook__isnull", False)),
                        fields=["webhook", "next_attempt_at"],
                        name="outbox_webhook_waiting",
                    ),
                    models.Index(
                        condition=models.Q(("state", "waiting"), ("webhook__isnull", False)),
                        fields=["webhook", "mark", "seq"],
                        name="outbox_webhook_order",
                    ),
                    models.Index(
                        condition=models.Q(("webhook__isnull", False)),
                        fields=["webhook", "-created_at"],
                        name="outbox_webhook_newest",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(verbose_name="at")),
                ("status", models.PositiveSmallIntegerField(null=True, verbose_name="status")),
                ("problem", models.CharField(blank=True, max_length=24, verbose_name="problem")),
                ("milliseconds", models.PositiveIntegerField(verbose_name="milliseconds")),
                ("answer", models.CharField(blank=True, max_length=200, verbose_name="beginning of the answer")),
                (
                    "message",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="webhook_attempts",
                        to="requests_app.outboxmessage",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="requests_app.tenant",
                    ),
                ),
                (
                    "webhook",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempts",
                        to="requests_app.webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook attempt",
                "verbose_name_plural": "webhook attempts",
                "indexes": [
                    models.Index(fields=["webhook", "-at"], name="webhook_attempt_by_webhook"),
                    models.Index(fields=["-at"], name="webhook_attempt_newest"),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("log_id", models.UUIDField(verbose_name="log")),
                ("next_seq", models.PositiveBigIntegerField(verbose_name="next number")),
                (
                    "webhook",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="cursors", to="requests_app.webhook"
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook cursor",
                "verbose_name_plural": "webhook cursors",
                "constraints": [
                    models.UniqueConstraint(fields=("webhook", "log_id"), name="webhook_cursor_once"),
                ],
            },
        ),
        migrations.AddField(
            model_name="signeddecision",
            name="passkey",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="signed", to="requests_app.passkey"
            ),
        ),
        migrations.AddField(
            model_name="signeddecision",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="requests_app.tenant"
            ),
        ),
        migrations.AddIndex(
            model_name="idempotencykey",
            index=models.Index(fields=["begun_at"], name="idempotency_key_by_age"),
        ),
        migrations.AddConstraint(
            model_name="idempotencykey",
            constraint=models.UniqueConstraint(fields=("account", "key"), name="idempotency_key_once"),
        ),
        migrations.AddIndex(
            model_name="resource",
            index=models.Index(fields=["tenant", "service", "name"], name="resource_by_name"),
        ),
        migrations.AddConstraint(
            model_name="resource",
            constraint=models.UniqueConstraint(fields=("tenant", "service", "locator"), name="resource_once"),
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(fields=["tenant", "-at"], name="decision_by_tenant"),
        ),
        migrations.AddConstraint(
            model_name="decision",
            constraint=models.UniqueConstraint(
                fields=("access_request", "decider_human"), name="decision_one_human_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="decision",
            constraint=models.UniqueConstraint(fields=("access_request", "stage"), name="decision_one_per_stage"),
        ),
        migrations.AddConstraint(
            model_name="client",
            constraint=models.CheckConstraint(
                condition=models.Q(("decides_for", None), ("tenant__isnull", False), _connector="OR"),
                name="client_decides_for_a_tenant",
            ),
        ),
        migrations.AddIndex(
            model_name="accessrequest",
            index=models.Index(fields=["tenant", "state", "decide_by"], name="access_request_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="accessrequest",
            index=models.Index(fields=["tenant", "-submitted_at"], name="access_request_by_age"),
        ),
        migrations.AddIndex(
            model_name="accessrequest",
            index=models.Index(fields=["tenant", "ticket"], name="access_request_by_ticket"),
        ),
        migrations.AddIndex(
            model_name="accessrequest",
            index=models.Index(fields=["service", "state", "decide_by"], name="access_request_by_queue"),
        ),
        migrations.AddConstraint(
            model_name="accessrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("demand_date__isnull", False),
                        ("reason_kind", "legal_demand"),
                        ("ticket", None),
                        models.Q(("authority", ""), _negated=True),
                        models.Q(("instrument", ""), _negated=True),
                        models.Q(("demand_reference", ""), _negated=True),
                    ),
                    models.Q(models.Q(("reason_kind", "legal_demand"), _negated=True), ("ticket__isnull", False)),
                    _connector="OR",
                ),
                name="access_request_has_reason",
            ),
        ),
    ]
    operations = [
        CreateTables(operations),
        migrations.RunPython(hide, migrations.RunPython.noop),
        migrations.RunPython(make, drop),
        *(
            migrations.RunSQL(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}", f"DROP INDEX IF EXISTS {name}")
            for name, columns in QUEUE_INDEXES.items()
        ),
    ]
