"""The pages of a tenant's signal streams. API clients create streams; administrators read, pause and delete them."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.domain.acts.signal_streams import DELETE_STREAM, SET_STREAM_STATUS
from requests_app.doors.web._thing_views import addresses
from requests_app.doors.web._things import (
    Action,
    Button,
    Column,
    Empty,
    Link,
    Page,
    Table,
    Text,
    Visit,
    as_part,
    to,
)
from requests_app.doors.web.forms.signal_streams import StreamActForm
from requests_app.messages import signals
from requests_app.models import SignalStream
from requests_app.queries import signal_streams as queries
from requests_app.templatetags.lockbox import when

_LIST = to("web:signal_streams", "tenant")
_PATH = "tenant/<uuid:tenant>/signal-streams/"
_NEVER = _("never")


def _find(visit: Visit, ids: dict[str, Any]) -> SignalStream:
    return queries.stream_of(visit.tenant, ids["signal_stream"])


def _events(row: SignalStream) -> Text:
    found = [event.rpartition("/")[2] for event in signals.SUPPORTED if event in row.requested]
    return ", ".join(found) or _("none")


def _button(status: str, label: Text, style: str = "") -> Button:
    return Button(
        label=label,
        form=StreamActForm,
        value=status,
        run=lambda visit: operations.set_stream_status(visit.thing.pk, status=status, actor=visit.actor),
        done=SET_STREAM_STATUS.done,
        offered=lambda visit, row: row.status != status,
        style=style,
    )


_NAME = Column(_("Receiver"), lambda row: row, as_part("tenant/_stream_name.html", "stream"))
_STATE = Column(_("State"), lambda row: row, as_part("tenant/_stream_state.html", "stream"))
_HEARD = Column(_("Last delivery"), lambda row: row.heard_at, when, absent=_NEVER)
_BACKLOG = Column(_("Events that wait"), lambda row: row.backlog or 0)

STREAMS = Page(
    name="signal_streams",
    path=_PATH,
    heading=_("Signal streams of {tenant}"),
    back=Link(_("API clients of {tenant}"), to("web:clients", "tenant")),
    is_for_administrators=True,
    lead=_(
        "A signal stream tells a program of yours when an engineer first uses a window of an application, and when the "
        "window ends (Shared Signals Framework). Your API clients create streams. Each stream belongs to its client."
    ),
    table=Table(
        caption=_("Signal streams"),
        rows=lambda visit: queries.of_tenant(visit.tenant),
        columns=(_NAME, Column(_("API client"), lambda row: row.client), _STATE, _HEARD, _BACKLOG),
        empty=Empty(
            _("No program gets signals yet"),
            _("An API client with the scope ssf.manage can create a stream."),
            "list",
        ),
    ),
)

STREAM = Page(
    name="signal_stream",
    path=f"{_PATH}<uuid:signal_stream>/",
    heading=_("A signal stream of {thing}"),
    back=Link(_("Signal streams of {tenant}"), _LIST),
    is_for_administrators=True,
    find=_find,
    lead=_(
        "If you pause the stream, its events wait for three days. If you disable it, the events that wait are dropped, "
        "and there are no new ones. The receiver then does not learn that windows end."
    ),
    facts=(
        _STATE,
        Column(_("API client"), lambda row: row.client),
        Column(
            _("Address"), lambda row: row.webhook.url or None, absent=_("The receiver fetches the events."), css="mono"
        ),
        Column(_("Events"), _events),
        _HEARD,
        _BACKLOG,
    ),
    buttons=(
        _button("enabled", _("Enable"), "primary"),
        _button("paused", _("Pause"), "quiet"),
        _button("disabled", _("Disable"), "quiet"),
    ),
    links=(Link(_("Delete…"), to("web:signal_stream_delete", "tenant", "thing"), "quiet"),),
)

DELETION = Page(
    name="signal_stream_delete",
    path=f"{_PATH}<uuid:signal_stream>/delete/",
    heading=_("Delete this signal stream?"),
    back=Link(_("The signal stream"), to("web:signal_stream", "tenant", "thing")),
    is_for_administrators=True,
    is_narrow=True,
    find=_find,
    action=Action(
        consequences=(
            _("The receiver does not learn any more that windows end. Events that wait are not sent."),
            _("The API client can create a new stream."),
            _("The log records that you deleted the stream."),
        ),
        label=_("Delete this stream"),
        cancel=_("Keep this stream"),
        act=DELETE_STREAM,
        run=lambda visit, values: operations.delete_stream(visit.thing.pk, actor=visit.actor),
        done=DELETE_STREAM.done,
        then=_LIST,
    ),
)

urlpatterns = addresses(STREAMS, STREAM, DELETION)
