"""Structured logs: one line for each event, without secrets."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Make this module look as if it were not installed, unless it is loaded already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # documented: an import of it raises ModuleNotFoundError
    try:
        yield
    finally:
        del sys.modules[module]


# structlog would load rich for tracebacks that these logs don't use, and every process would start later.
with _without("rich"):
    import structlog
    from structlog.typing import EventDict, Processor, WrappedLogger

SECRET_NAMES = re.compile(r"passw|secret|token|cookie|authorization|session_?key|api_?key|signature", re.IGNORECASE)
REDACTED = "[redacted]"
# Parts of an address that are as secret as a password: the links of the set-up, an invitation, an address change, and a
# new password.
SECRET_PATHS = re.compile(r"(/invitation/|/set-up/|/address/|/accounts/password/reset/key/)[^/\s]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# These have a traceback, which needs its line breaks. JSON escapes them.
MANY_LINES = frozenset({"exception", "stack", "exc_info", "stack_info"})


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace the value of every field whose name is the name of a secret, at any depth."""
    return {name: _redacted(name, value) for name, value in event.items()}


def _redacted(name: str, value: Any) -> Any:
    if isinstance(name, str) and SECRET_NAMES.search(name):
        return REDACTED
    if isinstance(value, str):
        return SECRET_PATHS.sub(rf"\1{REDACTED}", value)
    if isinstance(value, dict):
        return {key: _redacted(key, inner) for key, inner in value.items()}
    return value


def one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape line breaks and marks of text direction, so that text from outside can't look like another event."""
    return {
        name: CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
        if isinstance(value, str) and name not in MANY_LINES
        else value
        for name, value in event.items()
    }


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


#: There is only one list, however often the settings are read, because loggers in use do not change to another list.
_PROCESSORS: list[Processor] = [
    structlog.stdlib.filter_by_level,
    *_shared(),
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.StackInfoRenderer(),
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]


class Lines(structlog.stdlib.ProcessorFormatter):
    """Writes events as lines. A record can have its line already (serving/request_log.py)."""

    def format(self, record: logging.LogRecord) -> str:
        line = getattr(record, "line", None)
        return super().format(record) if line is None else str(line)


def configure_structlog() -> None:
    """Send structlog's events through the standard library, so that all lines of the log look the same."""
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def configuration(*, level: str, form: str, is_trial: bool = False) -> dict[str, Any]:
    """Return Django's LOGGING for `form`, "json" or "console"."""
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        else [
            structlog.dev.ConsoleRenderer(
                # The supervisor prints the lines of its parts to its standard output.
                colors=sys.stdout.isatty() and sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    formatter = {
        "()": Lines,
        "foreign_pre_chain": _shared(),
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, one_line, *last],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": formatter},
        "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["out"], "level": level},
        "loggers": {
            # Django's own handlers would print every event a second time, without a format.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # Each request has its own event, with its traceback if it failed. This logger would repeat it.
            "django.request": {"handlers": [], "level": "CRITICAL", "propagate": True},
            "django-q": {"handlers": ["out"], "level": "WARNING", "propagate": False},
            # Refusals that are in no tenant's log: unknown addresses, limited sign-ins, forged requests.
            # No level hides them, except in a trial, whose terminal is the mailbox of its people.
            "security": {"handlers": [], "level": level if is_trial else "INFO", "propagate": True},
        },
    }
