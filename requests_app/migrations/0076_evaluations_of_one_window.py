from importlib import import_module

from django.db import migrations

#: Up to how many access requests of a resource are walked through to find the closed window.
FEW = 100
#: Windows that are not closed, of one account in one tenant. The tenant must still allow the window's level.
_OPEN = """
    FROM requests_app_grant g
    WHERE g.tenant_id = t.id AND g.engineer_id = own.id AND g.closed_at IS NULL
    AND g.level <> ALL (string_to_array(t.ruled_out, ' ')) AND (g.level <> 'act_as' OR t.is_act_as_allowed)
    AND (a.sole IS NULL OR g.id = a.sole)
"""
#: A sub-select with a limit is not made into a join. So the windows are read in the order of their ends, and the walk
#: stops at the first one that fits. A join could read all windows that the resource ever had.
_NAMES_IT = """
    AND (SELECT true FROM requests_app_accessrequestresource line
     WHERE line.access_request_id = g.access_request_id AND line.resource_id = r.id LIMIT 1)
"""
_FITS = """
    g.opens_at <= a.moment AND a.moment < g.closes_at AND g.level = ANY (a.levels)
    AND (SELECT q.requester_human = p.human_id AND (k.state IS NULL OR k.state = ANY (live))
         FROM requests_app_accessrequest q LEFT JOIN requests_app_ticket k ON k.id = q.ticket_id
         WHERE q.id = g.access_request_id LIMIT 1)
"""
#: The questions, with what is known of each: the moment of the answer, the person, and the resource with its tenant.
_PAIRS = """
    FROM (
        SELECT q.n, q.levels, q.sole, greatest(instant, lasts[array_position(held, owners[q.n])]) AS moment
        FROM jsonb_to_recordset(asked) AS q(n integer, levels text[], sole uuid) ORDER BY q.n OFFSET 0
    ) AS a
    LEFT JOIN requests_app_person p ON p.id = people[a.n]
    LEFT JOIN requests_app_resource r ON r.id = things[a.n]
    LEFT JOIN requests_app_tenant t ON t.id = r.tenant_id
"""


def _first(columns, condition="", *, of=_OPEN, by="closes_at", only_if="true"):
    """Return a join with the window that comes last by this column, among the windows of all accounts of the human.

    `only_if` is inside, so that PostgreSQL reads nothing if it is false.
    """
    return f"""
        LEFT JOIN LATERAL (
            SELECT top.* FROM requests_app_person own CROSS JOIN LATERAL (
                SELECT {columns}, g.{by} AS last {of} {condition} ORDER BY g.{by} DESC LIMIT 1
            ) AS top
            WHERE own.human_id = p.human_id AND {only_if} ORDER BY top.last DESC LIMIT 1
        )"""  # noqa: S608 - the texts of this file


_CLOSED = """
    FROM requests_app_grant g
    WHERE g.tenant_id = t.id AND g.engineer_id = own.id AND g.closed_at IS NOT NULL AND g.level = ANY (a.levels)
"""
#: The same windows, found through the access requests that name the resource. If these are few, the walk is short,
#: whatever else the engineer has ever had in this tenant. OFFSET 0 keeps the order of the two steps.
_CLOSED_OF_FEW = """
    FROM (
        SELECT l.access_request_id FROM requests_app_accessrequestresource l WHERE l.resource_id = r.id OFFSET 0
    ) AS line CROSS JOIN LATERAL (
        SELECT c.id, c.closed_at FROM requests_app_grant c WHERE c.access_request_id = line.access_request_id
        AND c.tenant_id = t.id AND c.engineer_id = own.id AND c.closed_at IS NOT NULL AND c.level = ANY (a.levels)
        OFFSET 0
    ) AS g
"""
_ARE_FEW = f"""
    LEFT JOIN LATERAL (
        SELECT count(*) <= {FEW} AS are_few FROM (
            SELECT 1 FROM requests_app_accessrequestresource l
            WHERE l.resource_id = r.id AND named_ids[a.n] IS NULL LIMIT {FEW + 1}
        ) AS beginning
    ) AS lines ON true
"""  # noqa: S608 - a number of this file

#: Migration 0074 describes the function. Two things are new. `sole` names the window that counts, if no other one does.
#: `log` names the tenant whose head is locked even if no resource is found, because a refusal is recorded too.
EVALUATIONS = f"""
    CREATE OR REPLACE FUNCTION requests_evaluations(
        asked jsonb, scope text, live text[], sees text, hold boolean, waits boolean
    ) RETURNS TABLE (
        n integer, at timestamptz, asker_is_active boolean, asker_is_staff boolean, token_until timestamptz,
        asker_has_scope boolean, asker_roles text, asker_is_client_here boolean,
        person_id uuid, person_name text, human_id uuid,
        tenant_id uuid, tenant_slug text, resource_id uuid, resource_name text, locator text, is_active boolean,
        is_held boolean, head_size bigint, head_last_at timestamptz, head_unsigned_since timestamptz,
        grant_id uuid, access_request_id uuid, reference text, level text, opens_at timestamptz, closes_at timestamptz,
        requester_human uuid, ticket_state text, is_engineer boolean, is_in_scope boolean,
        ended_id uuid, ended_request uuid, ended_at timestamptz, ended_reason text, ended_by text
    ) LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_material = off SET enable_memoize = off SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
    #variable_conflict use_column
    DECLARE
        people uuid[]; services uuid[]; tenants uuid[]; things uuid[]; owners uuid[]; instant timestamptz;
        named_ids uuid[]; fitting boolean[]; second_ids uuid[]; ended_ids uuid[];
        outer_tenants text := coalesce(current_setting('lockbox.tenants', true), '');
        held uuid[]; sizes bigint[]; lasts timestamptz[]; unsigned timestamptz[];
    BEGIN
        PERFORM set_config('lockbox.tenants', sees, true);
        SELECT array_agg(found.person), array_agg(found.service), array_agg(found.tenant),
            array_agg(found.thing), array_agg(found.owner)
        INTO people, services, tenants, things, owners
        FROM (
            SELECT named.person, named.service, named.tenant,
                CASE WHEN keyed.tenant_id <> ALL (named.within) THEN NULL ELSE keyed.id END AS thing,
                coalesce(named.log, CASE WHEN keyed.tenant_id <> ALL (named.within) THEN NULL ELSE keyed.tenant_id END)
                    AS owner
            FROM (
                SELECT q.n, q.within, q.by_key, q.log, q.of_tenant IS NULL AND q.of_slug IS NULL AS of_any,
                    CASE WHEN q.by_email IS NULL THEN (SELECT p.id FROM requests_app_person p WHERE p.id = q.by_id)
                         ELSE (SELECT p.id FROM requests_app_person p WHERE p.email = q.by_email) END AS person,
                    (SELECT s.id FROM requests_app_service s WHERE s.key = q.service) AS service,
                    CASE WHEN q.of_slug IS NULL THEN q.of_tenant
                         ELSE (SELECT t.id FROM requests_app_tenant t WHERE t.slug = q.of_slug) END AS tenant
                FROM jsonb_to_recordset(asked) AS q(
                    n integer, within uuid[], by_id uuid, by_email text, service text, by_key uuid,
                    of_tenant uuid, of_slug text, log uuid)
                ORDER BY q.n OFFSET 0
            ) AS named
            LEFT JOIN requests_app_resource keyed ON keyed.id = named.by_key AND keyed.service_id = named.service
                AND (keyed.tenant_id = named.tenant OR named.of_any)
            ORDER BY named.n
        ) AS found;
        IF array_position(things, NULL) IS NOT NULL THEN
            SELECT array_agg(found.thing), array_agg(found.owner) INTO things, owners FROM (
                SELECT coalesce(things[q.n], placed.id) AS thing,
                    coalesce(owners[q.n], CASE WHEN placed.id IS NOT NULL THEN tenants[q.n] END) AS owner
                FROM jsonb_to_recordset(asked) AS q(n integer, within uuid[], by_key uuid, by_place text)
                LEFT JOIN LATERAL (
                    SELECT (array_agg(called.id ORDER BY called.way))[1] AS id FROM (
                        SELECT matched.id, min(matched.way) AS way FROM (
                            SELECT r.id, 0 AS way FROM requests_app_resource r
                            WHERE r.tenant_id = tenants[q.n] AND r.service_id = services[q.n]
                            AND r.locator = q.by_place AND r.locator <> ''
                            UNION ALL
                            SELECT r.id, 1 FROM requests_app_resource r
                            WHERE r.tenant_id = tenants[q.n] AND r.service_id = services[q.n]
                            AND r.external_id = q.by_place AND r.external_id <> ''
                            UNION ALL
                            (SELECT r.id, 2 FROM requests_app_resource r
                             WHERE r.tenant_id = tenants[q.n] AND r.service_id = services[q.n]
                             AND r.name = q.by_place LIMIT 3)
                        ) AS matched
                        WHERE things[q.n] IS NULL AND q.by_place <> ''
                        AND (q.within IS NULL OR tenants[q.n] = ANY (q.within))
                        GROUP BY matched.id
                    ) AS called
                    HAVING count(*) = 1 OR (array_agg(called.way ORDER BY called.way))[1:2] = '{{0,2}}'
                ) AS placed ON true
                ORDER BY q.n
            ) AS found;
        END IF;
        IF hold THEN
            INSERT INTO audit_app_chainhead (tenant_id, size, shard, first_seq, pruned_to)
            SELECT DISTINCT mine.id, 0, 0, 0, 0 FROM unnest(owners) AS mine(id)
            WHERE mine.id IS NOT NULL
            AND (SELECT true FROM audit_app_chainhead h WHERE h.tenant_id = mine.id LIMIT 1) IS NULL
            ON CONFLICT DO NOTHING;
            IF waits THEN
                SELECT array_agg(h.tenant_id), array_agg(h.size), array_agg(h.last_at), array_agg(h.unsigned_since)
                INTO held, sizes, lasts, unsigned FROM (
                    SELECT c.* FROM audit_app_chainhead c WHERE c.tenant_id = ANY (owners)
                    ORDER BY c.tenant_id FOR UPDATE) AS h;
            ELSE
                SELECT array_agg(h.tenant_id), array_agg(h.size), array_agg(h.last_at), array_agg(h.unsigned_since)
                INTO held, sizes, lasts, unsigned FROM (
                    SELECT c.* FROM audit_app_chainhead c WHERE c.tenant_id = ANY (owners)
                    ORDER BY c.tenant_id FOR UPDATE SKIP LOCKED) AS h;
            END IF;
        END IF;
        instant := clock_timestamp();
        SELECT array_agg(one.id), array_agg(coalesce(one.fits, false)) INTO named_ids, fitting FROM (
            SELECT named.id, named.fits {_PAIRS}
            {_first(f"g.id, ({_FITS}) AS fits", _NAMES_IT)} AS named ON true ORDER BY a.n
        ) AS one;
        IF false = ANY (fitting) THEN
            SELECT array_agg(more.second), array_agg(more.ended) INTO second_ids, ended_ids FROM (
                SELECT coalesce(fit.id, other.id) AS second, coalesce(few.id, ended.id) AS ended {_PAIRS} {_ARE_FEW}
                {_first("g.id", f"{_NAMES_IT} AND {_FITS}", only_if="named_ids[a.n] IS NOT NULL AND NOT fitting[a.n]")}
                AS fit ON true
                {_first("g.id", only_if="named_ids[a.n] IS NULL")} AS other ON true
                {_first("g.id", of=_CLOSED_OF_FEW, by="closed_at", only_if="named_ids[a.n] IS NULL AND lines.are_few")}
                AS few ON true
                {
    _first("g.id", _NAMES_IT, of=_CLOSED, by="closed_at", only_if="named_ids[a.n] IS NULL AND NOT lines.are_few")
}
                AS ended ON true
                ORDER BY a.n
            ) AS more;
        END IF;
        RETURN QUERY
        SELECT asked_for.n, instant, coalesce(a.is_active, false),
            coalesce(a.is_staff OR (c.id IS NOT NULL AND c.tenant_id IS NULL), false), token.expires_at,
            (token.id IS NULL OR jsonb_exists(token.scopes, scope)) AND (c.id IS NULL OR jsonb_exists(c.scopes, scope)),
            (SELECT string_agg(m.role, ' ') FROM requests_app_membership m
             WHERE m.person_id = a.id AND m.tenant_id = owners[asked_for.n]),
            coalesce(c.tenant_id = owners[asked_for.n], false),
            p.id, p.name::text, p.human_id,
            r.tenant_id, t.slug::text, r.id, r.name::text, r.locator::text, r.is_active AND s.is_active AND t.is_active,
            asked_for.place IS NOT NULL, sizes[asked_for.place], lasts[asked_for.place], unsigned[asked_for.place],
            g.id, q.id, q.reference::text, g.level::text, g.opens_at, g.closes_at, q.requester_human, k.state::text,
            p.is_active AND p.side = 'provider' AND EXISTS (
                SELECT 1 FROM requests_app_queueassignment hat
                WHERE hat.person_id = p.id AND hat.service_id = q.service_id AND hat.role = 'engineer'),
            named_ids[asked_for.n] IS NOT NULL,
            e.id, e.access_request_id, e.closed_at, e.close_reason::text, coalesce(who.name, '')::text
        FROM (
            SELECT one.n, one.asker, one.token, array_position(held, owners[one.n]) AS place
            FROM jsonb_to_recordset(asked) AS one(n integer, asker uuid, token uuid) OFFSET 0
        ) AS asked_for
        LEFT JOIN requests_app_person a ON a.id = asked_for.asker
        LEFT JOIN requests_app_client c ON c.account_id = a.id
        LEFT JOIN requests_app_token token
            ON token.id = asked_for.token AND token.account_id = a.id AND token.revoked_at IS NULL
        LEFT JOIN requests_app_person p ON p.id = people[asked_for.n]
        LEFT JOIN requests_app_resource r ON r.id = things[asked_for.n]
        LEFT JOIN requests_app_service s ON s.id = r.service_id
        LEFT JOIN requests_app_tenant t ON t.id = r.tenant_id
        LEFT JOIN LATERAL unnest(
            array_remove(ARRAY[named_ids[asked_for.n], second_ids[asked_for.n]], NULL)) AS pick(id) ON true
        LEFT JOIN requests_app_grant g ON g.id = pick.id
        LEFT JOIN requests_app_accessrequest q ON q.id = g.access_request_id
        LEFT JOIN requests_app_ticket k ON k.id = q.ticket_id
        LEFT JOIN requests_app_grant e ON e.id = ended_ids[asked_for.n]
        LEFT JOIN requests_app_person who ON who.id = e.closed_by_id;
        IF hold THEN
            PERFORM set_config('lockbox.tenants', coalesce(
                nullif(array_to_string(ARRAY(SELECT DISTINCT mine.id FROM unnest(owners) AS mine(id)), ','), ''),
                'ffffffff-ffff-ffff-ffff-ffffffffffff'), true);
        ELSE
            PERFORM set_config('lockbox.tenants', outer_tenants, true);
        END IF;
    END $$
"""  # noqa: S608 - the texts of this file


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(EVALUATIONS)


def make_the_one_before(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        before = import_module("requests_app.migrations.0074_evaluations").EVALUATIONS
        schema_editor.execute(before.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0075_indexes_of_evaluations"),
    ]

    operations = [migrations.RunPython(make, make_the_one_before)]
