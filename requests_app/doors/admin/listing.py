"""The content of a list: headings, cells, the offered dates, and the links to other pages."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any, cast

from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.utils import dateformat, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from requests_app.doors.admin.columns import Column, cell, heading, link_to
from requests_app.models.practice import is_practice
from requests_app.templatetags.lockbox import practice_badge
from requests_app.words.skeletons import filled

_YEAR, _MONTH, _DAY = ("year", "month", "day")


def context_of(changes: ChangeList, model_admin: Any) -> dict[str, Any]:
    """Return the values that the list's template needs in addition to Django's context."""
    rows = list(changes.result_list)
    columns = [column for column in changes.list_display if column != "action_checkbox"]
    bulk = [act for act in model_admin.acts if act.bulk] if rows else []
    shown_rows = table(rows, columns, model_admin, has_boxes=bool(bulk))
    return {
        "table": shown_rows,
        "headings": _headings(changes, shown_rows["names"]),
        "bulk": bulk,
        "filters": changes.filter_specs,
        "search": model_admin.search,
        "query": changes.query,
        "kept": _hidden_values(changes),
        "is_narrowed": bool(changes.query or changes.has_active_filters),
        "dates": _dates(changes),
        "pages": _pages(changes, len(rows)),
    }


def table(
    rows: Iterable[Any], columns: Sequence[Column], model_admin: Any, *, has_boxes: bool = False
) -> dict[str, Any]:
    """Return the headings, and the rows as HTML. A row's first cell links to the row's page.

    With `has_boxes`, each row has a box with which people choose it.
    """
    names = [heading(column, model_admin) for column in columns]
    render_first, *others = [cell(column, model_admin) for column in columns]
    labelled = list(zip(names[1:], others, strict=True))
    body = []
    for row in rows:
        head = render_first(row)
        first = head if "<a " in head else link_to(row, _bare(head, row))
        if is_practice(row):
            first = format_html("{} {}", first, practice_badge(row))
        cells = SafeString(
            "".join([filled("admin/_cell.html", {"label": name, "value": render(row)}) for name, render in labelled])
        )
        named = {"pk": row.pk, "name": model_admin.name_of(row)} if has_boxes else {}
        values = {"first": first, "cells": cells, **named}
        body.append({"pk": row.pk, "html": filled("admin/_row.html", values, has_box=has_boxes)})
    return {"names": names, "rows": body, "is_wrapped": model_admin.is_wrapped}


def _bare(cell: str, row: Any) -> object:
    """Return what the link in a row's first cell shows: the cell, or the row's name if the cell is empty."""
    return cell if hasattr(cell, "__html__") else (cell or row)


def _headings(changes: ChangeList, names: list[str]) -> list[dict[str, Any]]:
    """Return Django's headings, which can sort the list, with this product's words."""
    heads = [head for head in result_headers(changes) if "action-checkbox" not in str(head.get("class_attrib", ""))]
    return [{**head, "text": name} for head, name in zip(heads, names, strict=True)]


def _hidden_values(changes: ChangeList) -> list[tuple[str, str]]:
    """Return the hidden values of the filters' form: the order, and the chosen date."""
    specs: list[Any] = changes.filter_specs
    shown_by_form = {SEARCH_VAR, *(spec.parameter_name for spec in specs)}
    return [(name, value) for name, value in changes.params.items() if name not in shown_by_form and name != "e"]


def _pages(changes: ChangeList, here: int) -> dict[str, Any]:
    """Return words such as "51 to 100 of more than 10,000", and the addresses of the previous and the next page."""
    paginator: Any = changes.paginator
    # If there is only one page, it is shown for every page number.
    number = changes.page_num if changes.multi_page else 1
    first = (number - 1) * changes.list_per_page + 1
    values = {"first": first, "last": first + here - 1, "n": paginator.count}
    if not here:
        words = ""
    elif paginator.is_capped:
        words = _("%(first)d to %(last)d of more than %(n)d") % values
    else:
        words = ngettext("%(n)d row", "%(first)d to %(last)d of %(n)d", paginator.count) % values
    is_end = number == paginator.num_pages and values["last"] < paginator.count
    return {
        "words": words,
        "hint": _("To see other rows, use the filters or the search.") if is_end else "",
        "newer_url": changes.get_query_string({PAGE_VAR: number - 1}) if number > 1 else "",
        "older_url": changes.get_query_string({PAGE_VAR: number + 1}) if number < paginator.num_pages else "",
    }


def _dates(changes: ChangeList) -> dict[str, Any] | None:
    """Return the years, months or days between the first and the last of the dated rows, as links.

    Django's own version reads every row to find the dates. This version reads only the two ends of an index.
    """
    name, ends = changes.date_hierarchy, cast(Any, changes.model_admin).first_and_last(changes)
    if not ends or ends[0] is None:
        return None
    first, last = (timezone.localtime(end).date() for end in ends)
    chosen = (changes.params.get(f"{name}__{part}") for part in (_YEAR, _MONTH, _DAY))
    parts = tuple(int(value or 0) for value in takewhile(bool, chosen))

    def link(*values: int) -> str:
        named = {f"{name}__{part}": value for part, value in zip((_YEAR, _MONTH, _DAY), values, strict=False)}
        return changes.get_query_string(named, [f"{name}__"])

    trail = [(_("All dates"), link())] + [(_date_words(parts[:n]), link(*parts[:n])) for n in range(1, len(parts) + 1)]
    offered = [(_date_words(value), link(*value)) for value in _below(parts, first, last)]
    return {"trail": trail[:-1] if parts else [], "here": trail[-1][0], "offered": offered}


def _below(parts: tuple[int, ...], first: dt.date, last: dt.date) -> list[tuple[int, ...]]:
    if not parts:
        return [(year,) for year in range(last.year, first.year - 1, -1)]
    if len(parts) == 1:
        months = [(parts[0], month) for month in range(1, 13)]
        return [m for m in months if (first.year, first.month) <= m <= (last.year, last.month)]
    if len(parts) == 2:
        days = range(1, calendar.monthrange(*parts)[1] + 1)
        return [(*parts, day) for day in days if first <= dt.date(*parts, day) <= last]
    return []


def _date_words(parts: tuple[int, ...]) -> str:
    if len(parts) == 1:
        return str(parts[0])
    # Translators: a month, and a day, in the letters of Django's "date" filter: November 2026; 25 November 2026
    pattern = _("F Y") if len(parts) == 2 else _("j F Y")
    return dateformat.format(dt.date(*parts, *(1,) * (3 - len(parts))), pattern)
