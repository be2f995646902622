"""The results of tests in words: what a test did, what was wrong, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.models import Resource
from requests_app.words import times

#: What a test does, by the codes of `Connector.check_steps`.
_STEPS: dict[str, Promise] = {
    "directory": gettext_lazy("whether the folder %(locator)s exists"),
    "mail_directories": gettext_lazy("whether it has the two folders of a Maildir"),
}
_PROBLEMS: dict[str, tuple[Promise, Promise]] = {
    "resource_not_found": (
        gettext_lazy("nothing is there that the service’s connector can serve"),
        gettext_lazy(
            "Compare the locator with the place of the content. If the content was moved, move it back. If the locator "
            "is wrong, change it."
        ),
    ),
    "outside_resource": (
        gettext_lazy("the locator does not lead to a place of this tenant"),
        gettext_lazy("Change the locator to a place under the tenant’s own root."),
    ),
    "link_refused": (
        gettext_lazy("a part of the locator is a link, and links are never followed"),
        gettext_lazy("Move the content itself to this place, or mount it there."),
    ),
    "connector_unavailable": (
        gettext_lazy("the store of the content failed, or refused access"),
        gettext_lazy("Check that the store works, and that this application is allowed to read it."),
    ),
    "no_answer": (
        gettext_lazy("the store of the content did not answer in time"),
        gettext_lazy("Check that the store works. A network file system that hangs is a common cause."),
    ),
    "kind_differs": (
        gettext_lazy("the connector of the service does not serve resources of this kind"),
        gettext_lazy("Switch this resource off, and add it again: with the right kind, or to the right service."),
    ),
}


def problem(code: str) -> str:
    """Return what was wrong, as a part of a sentence. Return the code of a newer version unchanged."""
    return str(_PROBLEMS[code][0]) if code in _PROBLEMS else code


def unreachable(resource: Resource, now: datetime | None) -> str:
    """Return since when a resource can't be reached, and why. If no test is valid now, return only that.

    Otherwise, the resource must have failed its last test.
    """
    if now is not None and resource.is_untested_at(now):
        return not_tested(resource, now)
    assert resource.check_failing_since is not None
    values = {
        "since": times.when_words(resource.check_failing_since, now),
        "problem": problem(resource.check_problem),
    }
    return _("can’t be reached since %(since)s (%(problem)s)") % values


def not_tested(resource: Resource, now: datetime | None) -> str:
    """Return why no test is valid now."""
    if resource.checked_at is None:
        return _("not tested yet")
    if resource.is_changed_since_test:
        return _("changed since the last test")
    return _("not tested since %(when)s") % {"when": times.when_words(resource.checked_at, now)}


def result(code: str) -> str:
    """Return the result of a test as a sentence."""
    return _("It can’t be reached: %(problem)s.") % {"problem": problem(code)} if code else _("It can be reached.")


def what_to_do(code: str) -> str:
    return str(_PROBLEMS[code][1]) if code in _PROBLEMS else ""


def what_was_done(steps: Iterable[str], locator: str) -> str:
    """Return a sentence that says what a test did."""
    parts = [str(_STEPS[code]) % {"locator": locator} for code in steps if code in _STEPS]
    if not parts:
        return _("The store was not asked. No content was read.")
    return _("Checked %(what)s. No content was read.") % {"what": _(" and ").join(parts)}
