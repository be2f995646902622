"""Each index of a table that changes all the time is needed: a change of a row writes to each of them."""

from __future__ import annotations

import pytest
from django.db import connection

from audit_app.models import AuditEntry
from requests_app.models import (
    AccessRequest,
    AccessRequestResource,
    ContentAccess,
    Decision,
    Grant,
    OutboxMessage,
)


@pytest.mark.postgres
@pytest.mark.django_db
def test_tables_that_change_all_the_time_have_no_index_that_another_one_makes_needless() -> None:
    hot = [AccessRequest, AccessRequestResource, ContentAccess, Decision, Grant, OutboxMessage, AuditEntry]
    needless = """
        SELECT one.indexrelid::regclass::text, more.indexrelid::regclass::text
        FROM pg_index one JOIN pg_index more ON more.indrelid = one.indrelid AND more.indexrelid <> one.indexrelid
        WHERE one.indrelid::regclass::text = ANY (%s) AND NOT one.indisunique
        AND (more.indkey::text || ' ') LIKE (one.indkey::text || ' %%')
        AND pg_get_expr(more.indpred, more.indrelid) IS NOT DISTINCT FROM pg_get_expr(one.indpred, one.indrelid)
    """
    with connection.cursor() as cursor:
        cursor.execute(needless, [[model._meta.db_table for model in hot]])
        assert cursor.fetchall() == []
