"""The tables of a first migration are created in one step. No other operation can be part of this step."""

from __future__ import annotations

import pytest
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from requests_app.migrations._create_tables import CreateTables

TABLE = migrations.CreateModel("Thing", [("id", models.BigAutoField(primary_key=True))])
FIELD = migrations.AddField("Thing", "name", models.TextField(default=""))


@pytest.mark.parametrize(
    "other",
    [
        migrations.RunSQL(""),
        migrations.RemoveField("Thing", "name"),
        migrations.AddField("Other", "name", models.TextField()),
    ],
)
def test_another_operation_is_refused_because_it_would_not_be_done(other: Operation) -> None:
    assert CreateTables([TABLE, FIELD]).steps == [TABLE, FIELD]
    with pytest.raises(
        TypeError, match=r"This can't be done with the tables: (Raw SQL|Remove field name|Add field name)"
    ):
        CreateTables([TABLE, FIELD, other])
