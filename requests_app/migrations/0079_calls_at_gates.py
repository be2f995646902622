from django.db import migrations

#: Reads who asks at the gates of web tools, for many requests at once. A request names its proxy by a hash, or else its
#: service, and its session by a hash, or else the person and the window that a token has named. It is a function,
#: because PostgreSQL stores the plan of a function, and planning this join takes longer than running it.
GATE_CALLS = """
    CREATE FUNCTION requests_gate_calls(asked jsonb)
    RETURNS TABLE (
        n integer, proxy_id uuid, asked_at timestamptz,
        service_id uuid, service_key text, name text, application text, link_template text, gate_rules text,
        gate_upstream text, gate_identity boolean, is_active boolean,
        code_id uuid, asker_id uuid, asker_grant uuid, signed_in text, password text, session_epoch integer,
        grant_id uuid, tenant_id uuid, tenant_slug text, level text, access_request_id uuid, reference text,
        person_id uuid, person_name text, human_id uuid, email text, resources text
    ) LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_material = off SET enable_memoize = off SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
    #variable_conflict use_column
    BEGIN
        RETURN QUERY
        SELECT q.n, x.id, x.asked_at,
            s.id, s.key::text, s.name::text, s.application::text, s.link_template::text, s.gate_rules,
            s.gate_upstream::text, s.gate_identity, s.is_active,
            c.id, w.id, e.grant_id, e.signed_in::text, w.password::text, w.session_epoch,
            a.grant_id, a.tenant_id, t.slug::text, a.level, a.request_id, a.reference,
            p.id, p.name::text, p.human_id, p.email::text,
            (SELECT jsonb_agg(jsonb_build_array(o.id, o.external_id))
             FROM requests_app_accessrequestresource line JOIN requests_app_resource o ON o.id = line.resource_id
             WHERE line.access_request_id = a.request_id AND o.tenant_id = a.tenant_id AND o.service_id = s.id)::text
        FROM jsonb_to_recordset(asked) AS q(n integer, proxy text, service uuid, session text, person uuid, held uuid)
        LEFT JOIN requests_app_gateproxy x ON x.secret_hash = q.proxy AND x.removed_at IS NULL
        LEFT JOIN requests_app_service s ON s.id = coalesce(x.service_id, q.service)
        LEFT JOIN requests_app_gatesession e ON e.secret_hash = q.session
        LEFT JOIN requests_app_onetimecode c ON c.id = e.code_id AND c.ended_at IS NULL AND c.service_id = s.id
        LEFT JOIN requests_app_person w ON w.id = e.person_id AND c.id IS NOT NULL
        LEFT JOIN LATERAL (
            SELECT g.id AS grant_id, g.tenant_id, g.level::text AS level, g.engineer_id, r.id AS request_id,
                r.reference::text AS reference
            FROM requests_app_grant g JOIN requests_app_accessrequest r ON r.id = g.access_request_id
            WHERE g.id = CASE WHEN w.id IS NULL THEN q.held ELSE e.grant_id END
            AND g.engineer_id = coalesce(w.id, q.person) AND r.service_id = s.id
        ) AS a ON true
        LEFT JOIN requests_app_tenant t ON t.id = a.tenant_id
        LEFT JOIN requests_app_person p ON p.id = a.engineer_id;
    END $$
"""


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(GATE_CALLS)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION requests_gate_calls")


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0078_index_of_practice_tickets"),
    ]

    operations = [migrations.RunPython(make, drop)]
