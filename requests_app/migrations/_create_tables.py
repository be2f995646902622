"""Creates all tables of a first migration in one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

#: What these change in a table is in the final state of its model, so the table is created with it.
CREATED_WITH_TABLES = (
    operations.AddField,
    operations.AlterField,
    operations.AddIndex,
    operations.AddConstraint,
    operations.RemoveConstraint,
)


def is_of_tables(step: Operation) -> bool:
    return type(step) is operations.CreateModel or type(step) in CREATED_WITH_TABLES


class CreateTables(Operation):
    """Does the work of these operations, which only create models and change them.

    Django makes the classes of all related models again after each operation, which takes most of the time of a
    migration with so many tables. Here they are made once, when all models are complete.
    """

    def __init__(self, steps: Sequence[Operation]) -> None:
        self.steps = list(steps)
        created = {each.name_lower for each in self._models}
        for each in self.steps:
            is_creation = type(each) is operations.CreateModel
            is_change = is_of_tables(each) and getattr(each, "model_name", "").lower() in created
            if not (is_creation or is_change):
                raise TypeError(f"This can't be done with the tables: {each.describe()}")

    @property
    def _models(self) -> list[operations.CreateModel]:
        return [each for each in self.steps if isinstance(each, operations.CreateModel)]

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        # `apps` is a cached property. Without its classes, a state is cheap to change. Django makes them again on demand.
        vars(state).pop("apps", None)
        for each in self.steps:
            each.state_forwards(app_label, state)
        # So all classes will be complete. Otherwise, Django would make them again before each operation with code.
        state.is_delayed = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        for each in self._models:
            each.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        for each in reversed(self._models):
            each.database_backwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        return "Create all tables"
