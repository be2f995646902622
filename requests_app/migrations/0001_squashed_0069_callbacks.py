"""Everything up to 0069 in one step: all tables as they are in the end, then the other work in its order.

Only a new database uses this. A database that has some of the replaced migrations applies the others one by one.
"""

from importlib import import_module

from django.db import migrations

from requests_app.migrations._create_tables import CreateTables, is_of_tables

FIRST = "0001_squashed_0036_idempotency_key_holder"
NAMES = (
    FIRST,
    "0037_installation_and_external_ids",
    "0038_practice",
    "0039_external_services",
    "0040_imports",
    "0041_facts_of_the_set_up",
    "0042_provider_invitations",
    "0043_switches_and_proposals_of_clients",
    "0044_check_resources",
    "0045_which_link_was_copied",
    "0046_one_external_id_in_a_service",
    "0047_provider_directory",
    "0048_held_rows_of_no_tenant",
    "0049_invitations_of_clients",
    "0050_prepared_invitations",
    "0051_switches_and_letter_case",
    "0052_announced_held_rows",
    "0053_named_invitations",
    "0054_view",
    "0055_levels_of_services",
    "0056_levels_of_tenants",
    "0057_act_as",
    "0058_guards_and_token_keys",
    "0059_one_time_codes",
    "0060_guards",
    "0061_gates",
    "0062_signal_streams",
    "0063_gate_sessions",
    "0064_access_tasks",
    "0065_gate_upstream",
    "0066_access_drafts",
    "0067_guard_life",
    "0068_signals_have_a_lane",
    "0069_callbacks",
)
MODULES = [import_module(f"requests_app.migrations.{name}") for name in NAMES]
STEPS = [
    step
    for module in MODULES
    for operation in module.Migration.operations
    for step in (operation.steps if isinstance(operation, CreateTables) else [operation])
]


class Migration(migrations.Migration):
    initial = True
    # The earlier ones, too: a database that has them, and not all of these, must not use this.
    replaces = [*MODULES[0].REPLACED, *(("requests_app", name) for name in NAMES)]
    dependencies = MODULES[0].Migration.dependencies
    operations = [
        CreateTables([step for step in STEPS if is_of_tables(step)]),
        *(step for step in STEPS if not is_of_tables(step)),
    ]
