from django.db import migrations, models

from requests_app.migrations._evaluation import before

LEVELS = [
    ("names", "names only"),
    ("view", "view"),
    ("read", "view and download"),
    ("act_as", "act as (can change things)"),
]
#: The function of the decision point. A window with the level "act as" gives nothing unless the tenant allows this level.
#: Nothing else is different from the function before it, so that the previous version of the code can call it, too.
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
        person uuid; accounts uuid[]; service uuid; tenant uuid; thing uuid; owner uuid; found_ids uuid[]; ways int[]; is_on boolean;
        head audit_app_chainhead; instant timestamptz;
    BEGIN
        IF by_email IS NULL THEN
            SELECT p.id INTO person FROM requests_app_person p WHERE p.id = by_id;
        ELSE
            SELECT p.id INTO person FROM requests_app_person p WHERE p.email = by_email;
        END IF;
        SELECT array_agg(own.id) INTO accounts FROM requests_app_person own
        WHERE own.human_id = (SELECT p.human_id FROM requests_app_person p WHERE p.id = person);
        SELECT s.id, s.is_active INTO service, is_on FROM requests_app_service s WHERE s.key = service_key;
        tenant := of_tenant;
        IF of_slug IS NOT NULL THEN
            SELECT t.id INTO tenant FROM requests_app_tenant t WHERE t.slug = of_slug;
        END IF;
        IF by_key IS NOT NULL THEN
            SELECT r.id, r.tenant_id INTO thing, owner FROM requests_app_resource r
            WHERE r.id = by_key AND r.service_id = service
            AND (r.tenant_id = tenant OR (of_tenant IS NULL AND of_slug IS NULL));
        END IF;
        IF thing IS NULL AND by_place <> '' THEN
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
            r.tenant_id, t.slug::text, r.id, r.name::text, r.locator::text,
            r.is_active AND is_on AND t.is_active,
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
            AND g.level <> ALL (string_to_array(t.ruled_out, ' '))
            AND (g.level <> 'act_as' OR t.is_act_as_allowed)
        LEFT JOIN requests_app_accessrequest q ON q.id = g.access_request_id
        LEFT JOIN requests_app_ticket k ON k.id = q.ticket_id;
    END $$
"""
CHANGES = {"            AND (g.level <> 'act_as' OR t.is_act_as_allowed)\n": ""}
BEFORE = before(EVALUATION, CHANGES)


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(EVALUATION)


def make_before(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(BEFORE)


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0056_levels_of_tenants"),
    ]

    operations = [
        # Not one more word in `ruled_out`: there, a row that the previous version writes during an upgrade would allow
        # the new level.
        migrations.AddField(
            model_name="tenant",
            name="is_act_as_allowed",
            field=models.BooleanField(
                db_default=False, default=False, editable=False, verbose_name="level “act as” allowed"
            ),
        ),
        migrations.AlterField(
            model_name="accessrequest",
            name="level",
            field=models.CharField(choices=LEVELS, max_length=8, verbose_name="how much"),
        ),
        migrations.AlterField(
            model_name="grant",
            name="level",
            field=models.CharField(choices=LEVELS, max_length=8, verbose_name="how much"),
        ),
        migrations.AlterField(
            model_name="contentaccess",
            name="kind",
            field=models.CharField(
                choices=[
                    ("list_asked", "requested a list of names"),
                    ("listed", "names listed"),
                    ("opened", "opened"),
                    ("downloaded", "downloaded"),
                    ("failed", "could not be read"),
                    ("cut", "interrupted"),
                    ("list_allowed", "listing through another service allowed"),
                    ("view_allowed", "viewing through another service allowed"),
                    ("read_allowed", "reading through another service allowed"),
                    ("download_allowed", "download through another service allowed"),
                    ("act_as_allowed", "change through another service allowed"),
                ],
                max_length=16,
                verbose_name="kind",
            ),
        ),
        migrations.RunPython(make, make_before),
    ]
