"""Whoever asks by token is read behind the locks as well: the account, the token, its scope, the roles."""

from importlib import import_module

from django.db import migrations

#: 0011's function, which also takes the asker's token and the scope that it must have.
FUNCTION = """
    CREATE FUNCTION requests_evaluation(
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

_BEFORE = "requests_app.migrations.0011_evaluation_in_postgresql"


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION requests_evaluation")
        schema_editor.execute(FUNCTION)


def restore(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION requests_evaluation")
        schema_editor.execute(import_module(_BEFORE).FUNCTION)


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0011_evaluation_in_postgresql")]

    operations = [migrations.RunPython(make, restore)]
