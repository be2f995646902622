"""The decision point reads the switches of the tenant and the service. Ids and locators are unique in any case."""

from importlib import import_module

from django.core.management.base import CommandError
from django.db import migrations, models
from django.db.models.functions import Lower

from requests_app.migrations._evaluation import before

#: The function of the decision point. A resource is active only if its service and its tenant are. It looks for no name
#: in a question without a tenant. Nothing else is different from the function before it, so that the previous version
#: of the code can call it, too.
EVALUATION = import_module("requests_app.migrations.0056_levels_of_tenants").BEFORE
CHANGES = {
    "ways int[]; is_on boolean;": "ways int[];",
    "SELECT s.id, s.is_active INTO service, is_on FROM": "SELECT s.id INTO service FROM",
    "r.locator::text,\n            r.is_active AND is_on AND t.is_active,": "r.locator::text, r.is_active,",
    "        IF thing IS NULL AND by_place <> '' THEN\n": """\
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
""",
}
BEFORE = before(EVALUATION, CHANGES)


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(EVALUATION)


def make_before(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(BEFORE)


def once(model, name, *fields, is_empty_free=True):
    """Return the constraint that the last of these fields is unique in any letter case, among rows with equal others.

    Any number of rows can have the empty text.
    """
    *others, last = fields
    return migrations.AddConstraint(
        model_name=model,
        constraint=models.UniqueConstraint(
            *map(models.F, others),
            Lower(last),
            condition=models.Q((last, ""), _negated=True) if is_empty_free else None,
            name=name,
            violation_error_message="This value already exists, perhaps in other letters.",
        ),
    )


#: What must be unique: the model, the fields that may be equal, and the field that is compared without letter case.
UNIQUE = (
    ("Resource", ("tenant", "service"), "locator"),
    ("Resource", ("service",), "external_id"),
    ("Tenant", (), "slug"),
    ("Tenant", (), "external_id"),
)


def require_unique(apps, schema_editor):
    """Name the rows that differ only in letter case, because the database would only say that there are some."""
    found = []
    for model, others, field in UNIQUE:
        rows = (
            apps.get_model("requests_app", model).objects.using(schema_editor.connection.alias).exclude(**{field: ""})
        )
        lowered = rows.annotate(folded=Lower(field))
        twins = lowered.values(*others, "folded").annotate(n=models.Count("pk")).filter(n__gt=1).order_by()
        for twin in twins[:20]:
            del twin["n"]
            same = lowered.filter(**twin).order_by("pk").values_list("pk", field)
            found += [f"{model.lower()} {pk}: {field} {value!r}" for pk, value in same]
    if found:
        raise CommandError(
            "These rows differ only in capital letters, which is no longer allowed. Give each of them another value in "
            "the version that runs, and migrate again:\n" + "\n".join(found)
        )


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0050_prepared_invitations"),
    ]

    operations = [
        migrations.RunPython(require_unique, migrations.RunPython.noop, elidable=True),
        migrations.RunPython(make, make_before),
        once("resource", "resource_once_in_any_case", "tenant", "service", "locator"),
        once("resource", "resource_external_id_in_any_case", "service", "external_id"),
        once("tenant", "tenant_short_name_in_any_case", "slug", is_empty_free=False),
        once("tenant", "tenant_external_id_in_any_case", "external_id"),
    ]
