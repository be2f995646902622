"""The tasks of the workers. Each task can be lost, run late, or run twice at the same time without harm."""

from collections.abc import Callable
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection

from audit_app import cosigning, restored_database, search_index, signing_round
from audit_app.keys import BadKey, NoKey
from audit_app.log_name import WrongName
from audit_app.stored_heads import HeadsUnavailable
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.identity import guesses
from requests_app.operations import (
    access_drafts,
    checks,
    codes,
    imports,
    integrations,
    log_care,
    proposals,
    resource_checks,
    set_back,
    sign_on_metadata,
    sweeps,
    token_keys,
)
from requests_app.platform import bell, outbound, turns
from requests_app.queries import imports as queries
from requests_app.work import heartbeats, outbox, resealing, sent_mail
from requests_app.work.guard import guarded, uncounted
from requests_app.work.webhooks import alarms, dispatch, tidying
from requests_app.work.webhooks import delivery as webhooks

logger = structlog.get_logger(__name__)

#: How many rows one transaction changes. A sweep holds their logs for 0.1 to 0.4 seconds on the machine of
#: docs/performance.md. Acts on these logs wait that long, and on SQLite everybody who writes.
BATCH = 500
#: After this time, a task queues a new one and ends. django-q2's time-out comes later and would count as a failure.
LONGEST_SECONDS = 20.0
#: A round of witnesses ends LONGEST_SECONDS after its start, and when the last request has reached its own limit.
COSIGN_TURN_SECONDS = 45
#: The same for the announced changes, whose last step takes less than a second.
APPLY_TURN_SECONDS = 45
#: A run of tests ends LONGEST_SECONDS after its start, and when the last test has reached its own limit.
CHECK_TURN_SECONDS = 45


@guarded
def sweep() -> int:
    """Store what has expired or ended, apply the changes that staff announced and that are now due, and roll keys.

    Return the number of rows. If one of the parts fails, the other parts still run. The failure is raised at the end.
    """
    actor, passed_over, failures = Actor.system("sweep"), set[UUID](), list[Exception]()
    halves, is_shared = [(sweeps.close_elapsed, sweeps.Plan()), (sweeps.expire_overdue, sweeps.Plan())], False

    def once() -> int:
        """Do one batch. Return how many rows it found, including the rows that it skipped.

        Only a batch that finds no row is the last one. So a batch of only skipped rows must not return 0.
        """
        nonlocal is_shared
        done, before = 0, len(passed_over)
        for half in list(halves):
            swept, plan = half
            try:
                done += swept(actor=actor, limit=BATCH, passed_over=passed_over, plan=plan)
            except Exception as failure:
                halves.remove(half)
                failures.append(failure)
        if done >= BATCH and not is_shared and connection.features.has_select_for_update_skip_locked:
            # Each of two sweeps takes what the other one has not locked. On SQLite, the second one would only wait.
            is_shared = True
            bell.share(bell.SWEEP)
        return done + len(passed_over) - before

    # On SQLite, each row changes pages of about thirty indexes. The next batch changes many of them again.
    with connection.with_room():  # type: ignore[attr-defined]  # our own backends
        done = _until_done(bell.SWEEP, once) - len(passed_over)
    for part in (
        _apply_due,
        lambda actor: access_drafts.expire_drafts(actor=actor, limit=BATCH),
        lambda actor: token_keys.roll_due_token_keys(actor=actor),
    ):
        try:
            done += part(actor)
        except Exception as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    return done


def _apply_due(actor: Actor) -> int:
    """Apply the changes that are due. Only one worker does this at a time, because each step takes the same locks.

    It is called once in a sweep: a change that waits for an access request stays due.
    """
    started = clock.monotonic()

    def is_over() -> bool:
        return clock.monotonic() - started > LONGEST_SECONDS

    with turns.taken("apply_due", seconds=APPLY_TURN_SECONDS) as turn:
        done = proposals.apply_due(actor=actor, limit=BATCH, is_over=is_over) if turn is not None else 0
    if is_over():
        bell.ring(bell.SWEEP)
    return done


@guarded
def drain_outbox() -> int:
    """Deliver the due messages. Return how many were tried.

    The change that wrote a message may also be an event for webhooks, so this also queues the task of the webhooks.
    """
    if dispatch.has_news():
        bell.ring(bell.DELIVER_WEBHOOKS)
    return _until_done(bell.DRAIN_OUTBOX, lambda: outbox.drain(limit=BATCH))


@guarded
def deliver_webhooks() -> int:
    """Send new log entries to the webhooks and signal streams, and retry failed messages."""
    alarms.work()
    return webhooks.drain()


@guarded
def tidy_webhooks() -> int:
    """Delete old deliveries and texts of old mails, and encrypt with the present key what a former key encrypted."""
    started = clock.monotonic()

    def is_over() -> bool:
        return clock.monotonic() - started > LONGEST_SECONDS

    resealing.work(is_over)
    sent_mail.forget(is_over)
    return tidying.work(is_over)


@guarded
def refresh_sign_ons() -> int:
    """Read the metadata of SAML identity providers again. Only one worker does this at a time."""
    started = clock.monotonic()

    def is_over() -> bool:
        return clock.monotonic() - started > LONGEST_SECONDS

    with turns.taken("refresh_sign_ons", seconds=CHECK_TURN_SECONDS) as turn:
        if turn is None:
            return 0
        actor = Actor.system("single sign-on")
        done = sign_on_metadata.refresh_due_sign_ons(actor=actor, is_over=is_over)
        sign_on_metadata.report_sign_on_trouble(actor=actor, is_over=is_over)
        return done


@guarded
def closing_soon() -> int:
    """Send the mails about windows that close soon."""
    return sweeps.announce_closing_soon(actor=Actor.system("closing-soon"), limit=BATCH)


@guarded
def silent_guards() -> int:
    """Send the mails about applications that do not report while a window is open."""
    return sweeps.announce_silent_guards(actor=Actor.system("silent-guards"))


@guarded
def remind() -> int:
    """Send the reminders that are due: about access requests, changes that wait for a second person, and backups."""
    system = Actor.system("remind")
    done = sweeps.remind_deciders(actor=system, limit=BATCH) + proposals.remind_second(actor=system, limit=BATCH)
    return done + sweeps.announce_backup_trouble(actor=system)


@guarded
def checkpoint() -> int:
    """Sign the logs that have new entries. For the other logs, sign the checkpoint again with the present time.

    A machine that can't sign, because it has no key, leaves the task to another host that has signed. If nobody signs,
    /readyz reports the unsigned entries.
    """
    # Signing forgets which logs have grown, so this comes first.
    if search_index.has_new_work():
        bell.ring(bell.INDEX_LOGS)
    refused = ""
    restored_database.look_again(clock.now())
    try:
        return _sign_until_done()
    except WrongName as why:
        logger.error("log_name_contradicted", why=str(why))
        refused = str(why)
    except BadKey as why:
        logger.error("log_key_unreadable", why=str(why))
        refused = str(why)
    except NoKey:
        logger.debug("log_key_absent")
    except HeadsUnavailable as why:
        logger.error("log_heads_unavailable", why=str(why))
        refused = str(why)
    finally:
        # On a host that can't sign, too: another host's signer may have found it.
        set_back.note_set_back(actor=Actor.system("set-back"))
    if refused:
        heartbeats.report_signer(at=clock.now(), refused=refused)
    if signing_round.is_for_another_host(clock.now()):
        bell.ring(bell.CHECKPOINT)
    return 0


def _sign_until_done() -> int:
    started = clock.monotonic()

    def is_over() -> bool:
        return clock.monotonic() - started > LONGEST_SECONDS

    def once() -> int:
        done = signing_round.work(clock.now, limit=BATCH, is_over=is_over)
        return done.signed + done.dated

    done = _until_done(bell.CHECKPOINT, once)
    heartbeats.report_signer(at=clock.now())
    if is_over():
        # A round that ended before its first log found nothing, but there is still work.
        bell.ring(bell.CHECKPOINT)
    return done


@guarded
def run_imports() -> int:
    """Write what is left of the imports, also of those whose process was killed. Return the number of rows."""
    started, done, failures = clock.monotonic(), 0, list[Exception]()

    def goes_on(_row: object) -> bool:
        return clock.monotonic() - started < LONGEST_SECONDS

    for row in queries.unfinished():
        before = row.rows_done
        try:
            done += imports.run_import(row.pk, actor=Actor.system("import"), after=goes_on).rows_done - before
        except Exception as failure:
            # The other imports continue. This one is tried again at the next run.
            failures.append(failure)
        if not goes_on(row):
            bell.ring(bell.IMPORT)
            break
    if failures:
        raise failures[0]
    return done


@guarded
def forget_calls() -> int:
    """Delete old tokens, codes and guesses, and stored answers to API calls that nobody repeats any more."""
    at = clock.now()
    return _until_done(
        bell.FORGET_CALLS,
        lambda: integrations.forget_old(at) + codes.forget_old_codes(at) + guesses.forget_old(at),
    )


@guarded
def index_logs() -> int:
    """Make the search index of the logs. Only one worker does this at a time. Return how many segments were indexed."""
    started = clock.monotonic()

    def is_over() -> bool:
        return clock.monotonic() - started > LONGEST_SECONDS

    with turns.taken("index_logs", seconds=CHECK_TURN_SECONDS) as turn:
        if turn is None:
            return 0
        done = search_index.work(is_over)
    if is_over():
        bell.ring(bell.INDEX_LOGS)
    return done


@guarded
def check_logs() -> int:
    """Continue the checks of logs that people have requested."""
    return _until_done(bell.CHECK_LOGS, checks.work_off_check)


@guarded
def check_resources() -> int:
    """Test the resources that are due. Only one worker does this at a time, so a slow store delays no other work."""
    started = clock.monotonic()

    def is_over() -> bool:
        return clock.monotonic() - started > LONGEST_SECONDS

    with turns.taken("check_resources", seconds=CHECK_TURN_SECONDS) as turn:
        if turn is None:
            return 0
        done = resource_checks.check_due_resources(actor=Actor.system("check"), is_over=is_over)
    if is_over():
        bell.ring(bell.CHECK_RESOURCES)
    return done


@guarded
def cosign() -> int:
    """Send the tenants' checkpoints to the witnesses that are due. The next run asks those that are left."""
    started = clock.monotonic()
    with turns.taken("cosign", seconds=COSIGN_TURN_SECONDS) as turn:
        if turn is None:
            return 0
        done = cosigning.collect(clock.now, _asked, is_over=lambda: clock.monotonic() - started > LONGEST_SECONDS)
    return done.total


def _asked(url: str, body: bytes) -> outbound.Answer:
    try:
        return outbound.post(url, body, private=settings.WITNESS_PRIVATE_NETWORK, purpose="witness")
    except outbound.BadTarget:
        # The witness was registered while witnesses in private networks were allowed.
        raise outbound.Unreachable("address") from None


@guarded
def prune_logs() -> int:
    """Remove the log entries whose retention period is over."""
    started = clock.monotonic()

    def is_over() -> bool:
        return clock.monotonic() - started > LONGEST_SECONDS

    done = log_care.prune(actor=Actor.system("retention"), is_over=is_over)
    if is_over():
        bell.ring(bell.PRUNE_LOGS)
    return done


@uncounted
def heartbeat() -> None:
    """Do nothing. That its success is written shows that this worker reaches the database.

    The cluster's monitor then writes the heartbeat of the cluster.
    """


def _until_done(task: str, batch: Callable[[], int]) -> int:
    """Call `batch` until it returns 0. After LONGEST_SECONDS, queue a new task for the rest. Return the sum."""
    started, done = clock.monotonic(), 0
    while found := batch():
        done += found
        if clock.monotonic() - started > LONGEST_SECONDS:
            bell.ring(task)
            break
    return done
