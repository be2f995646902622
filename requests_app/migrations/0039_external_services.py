"""External services: their application, link template and guidance; resources without a locator."""

from django.db import migrations, models

#: The function of the decision point. It also finds a resource by its external id. Nothing else is different from the
#: function before it, so that the previous version of the code can call it, too.
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
        person uuid; accounts uuid[]; service uuid; tenant uuid; thing uuid; owner uuid; found_ids uuid[]; ways int[];
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
        END IF;
        IF thing IS NULL AND by_place <> '' AND of_tenant IS NULL AND of_slug IS NULL THEN
            SELECT array_agg(found.id), min(found.tenant_id::text)::uuid INTO found_ids, owner FROM (
                SELECT r.id, r.tenant_id FROM requests_app_resource r
                WHERE r.service_id = service AND r.external_id = by_place
                AND (within IS NULL OR r.tenant_id = ANY (within)) LIMIT 2
            ) AS found;
            IF cardinality(found_ids) = 1 THEN
                thing := found_ids[1];
            ELSE
                owner := NULL;
            END IF;
        ELSIF thing IS NULL AND by_place <> '' THEN
            SELECT array_agg(called.id ORDER BY called.way), array_agg(called.way ORDER BY called.way)
            INTO found_ids, ways FROM (
                SELECT matched.id, min(matched.way) AS way FROM (
                    SELECT r.id, 0 AS way FROM requests_app_resource r
                    WHERE r.tenant_id = tenant AND r.service_id = service AND r.locator = by_place AND r.locator <> ''
                    UNION ALL
                    SELECT r.id, 1 FROM requests_app_resource r
                    WHERE r.tenant_id = tenant AND r.service_id = service AND r.external_id = by_place
                    UNION ALL
                    (SELECT r.id, 2 FROM requests_app_resource r
                     WHERE r.tenant_id = tenant AND r.service_id = service AND r.name = by_place LIMIT 3)
                ) AS matched GROUP BY matched.id
            ) AS called;
            IF cardinality(found_ids) = 1 OR (ways[1] = 0 AND ways[2] = 2) THEN
                thing := found_ids[1]; owner := tenant;
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
EVALUATION_BEFORE = """
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


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(EVALUATION)


def make_before(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(EVALUATION_BEFORE)


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0038_practice"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="resource",
            name="resource_once",
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="enforced_by",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=80, verbose_name="enforced by"
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="application",
            field=models.CharField(blank=True, db_default="", default="", max_length=80, verbose_name="application"),
        ),
        migrations.AddField(
            model_name="service",
            name="guidance",
            field=models.TextField(
                blank=True, db_default="", default="", max_length=1000, verbose_name="how to find a resource"
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="link_template",
            field=models.CharField(blank=True, db_default="", default="", max_length=400, verbose_name="link template"),
        ),
        migrations.AlterField(
            model_name="resource",
            name="kind",
            field=models.CharField(
                choices=[
                    ("mailbox", "mailbox"),
                    ("library", "document library"),
                    ("database", "database"),
                    ("workspace", "workspace"),
                    ("other", "other"),
                ],
                max_length=16,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="resource",
            name="locator",
            field=models.CharField(blank=True, db_default="", default="", max_length=400, verbose_name="locator"),
        ),
        migrations.AddIndex(
            model_name="resource",
            index=models.Index(fields=["service", "external_id"], name="resource_by_external_id"),
        ),
        migrations.AddConstraint(
            model_name="resource",
            constraint=models.UniqueConstraint(
                condition=models.Q(("locator", ""), _negated=True),
                fields=("tenant", "service", "locator"),
                name="resource_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="resource",
            constraint=models.CheckConstraint(
                condition=models.Q(("external_id", ""), ("locator", ""), _negated=True),
                name="resource_has_locator_or_external_id",
            ),
        ),
        migrations.AddConstraint(
            model_name="service",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("connector", "external"), models.Q(("application", ""), _negated=True)),
                    models.Q(
                        models.Q(("connector", "external"), _negated=True),
                        ("application", ""),
                        ("guidance", ""),
                        ("link_template", ""),
                    ),
                    _connector="OR",
                ),
                name="service_external_has_application",
            ),
        ),
        migrations.RunPython(make, make_before),
    ]
