"""Real workers with slow servers and full pipes: what continues, what is sent once, and that they stop when told."""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts import outbox
from accounts.models import OutgoingMessage
from consent import ledger
from consent.models import BulkJob, ConsentEvent, WebhookAttempt, WebhookEndpoint
from consent.services import organizations, webhooks
from tests.support import mail_receiver, webhook_receiver
from tests.support.cast import Cast, make
from tests.support.commands import ACTOR, choices_of, run
from tests.support.factories import ActorFactory, OrganizationFactory, OutgoingMessageFactory
from tests.support.ledger_guards import rows, sql
from tests.support.mail_receiver import mail_server
from tests.support.processes import database_url
from tests.support.webhook_receiver import receiver

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PATIENCE = 60
beside = pytest.mark.django_db(transaction=True)


@contextmanager
def worker(*argv: str, mail: str = "dummymail://", stdout: Any = subprocess.DEVNULL) -> Iterator[subprocess.Popen[Any]]:
    environment = {
        **os.environ, "DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "true",
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128", "LOG_LEVEL": "ERROR", "EMAIL_URL": mail,
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, "manage.py", "worker", *argv], cwd=ROOT, env=environment, stdout=stdout)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(holds: Callable[[], Any]) -> None:
    limit = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < limit, "this does not come about"
        time.sleep(0.02)


def message(number: int = 0, body: str = "b") -> None:
    OutgoingMessageFactory(recipient=f"{number}@kvasir.example", subject="s", body=body)


# --- Told to end ------------------------------------------------------------------------------------------------------


def idle(_stack: ExitStack) -> tuple[dict[str, Any], Callable[[], Any]]:
    message()
    return {}, lambda: not OutgoingMessage.objects.exists()


def slow_mail(behave: mail_receiver.Behave) -> Callable[[ExitStack], tuple[dict[str, Any], Callable[[], Any]]]:
    def prepared(stack: ExitStack) -> tuple[dict[str, Any], Callable[[], Any]]:
        server = stack.enter_context(mail_server(behave))
        message()
        return {"mail": server.url}, server.called.is_set

    return prepared


def silent_receiver(stack: ExitStack) -> tuple[dict[str, Any], Callable[[], Any]]:
    cast, there = make(), stack.enter_context(receiver())
    there.behave = webhook_receiver.silent
    webhooks.create_endpoint(organization=None, url=there.url, actor=cast.provider, source="admin")
    organizations.update_organization(organization=cast.labs, country="SE", actor=cast.provider, source="admin")
    return {}, lambda: there.got


def full_pipe(stack: ExitStack) -> tuple[dict[str, Any], Callable[[], Any]]:
    """Mail that is printed where nobody reads."""
    message(body="x" * 300_000)
    reads, writes = os.pipe()
    for each in (reads, writes):
        stack.callback(os.close, each)
    return {"mail": "consolemail://", "stdout": writes}, OutgoingMessage.objects.filter(attempts=1).exists


def somebody_elses_lock(stack: ExitStack) -> tuple[dict[str, Any], Callable[[], Any]]:
    """On the order of events, which the main thread waits for; SQLite's one lock is among BLOCKED."""
    happen(make(), "Kvasir A")
    sql("SELECT pg_advisory_lock(%s)", [ledger._SEQUENCER_LOCK])
    stack.callback(sql, "SELECT pg_advisory_unlock(%s)", [ledger._SEQUENCER_LOCK])
    # One for the main thread; of the service, one for each thread that delivers, beside it.
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return {}, lambda: rows(waiting)[0][0] >= 1


STATES: dict[str, Callable[[ExitStack], tuple[dict[str, Any], Callable[[], Any]]]] = {
    "idle": idle,
    "silent mail server": slow_mail(mail_receiver.silent),
    "dripping mail server": slow_mail(mail_receiver.dripping),
    "silent receiver": silent_receiver,
    "full pipe": full_pipe,
    "somebody else's lock": somebody_elses_lock,
}


@beside
@pytest.mark.parametrize("argv", [(), ("--once",)], ids=["service", "once"])
@pytest.mark.parametrize("state", STATES)
def test_worker__told_to_end__ends_whatever_it_waits_for(settings: Any, state: str, argv: tuple[str, ...]) -> None:
    if (state, argv) == ("idle", ("--once",)):
        return  # it is over by itself
    if state == "somebody else's lock" and connection.vendor != "postgresql":
        return
    settings.DEBUG, settings.WEBHOOK_ALLOWED_NETWORKS = True, ["127.0.0.0/8", "::1/128"]
    with ExitStack() as stack:
        more, reached = STATES[state](stack)
        process = stack.enter_context(worker(*argv, **more))
        until(reached)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        # A mail server or receiver that was waited for until its time limit would have left an error or an attempt.
        assert not OutgoingMessage.objects.exclude(error="") and not WebhookAttempt.objects.exists()


BLOCKED = {
    "a lock of SQLite": "import sqlite3; a, b = (sqlite3.connect('x.db', timeout=600) for _ in 'ab');"
    " a.execute('BEGIN IMMEDIATE'); say(); b.execute('BEGIN IMMEDIATE')",
    "a pipe": "import sys; say(); [sys.stdout.write('x' * 100_000) for _ in range(10)]",
    "a socket": "import socket; a, b = socket.socketpair(); say(); a.recv(1)",
    "a thread": "import threading; say(); threading.Event().wait()",
    "nothing, and takes no notice": "import time; say()\nwhile 1:\n try: time.sleep(1)\n except BaseException: pass",
}


# Which thread receives a signal is up to the system; the main thread handles it in any case, when it comes to that.
BY_ANOTHER_THREAD = """
import signal, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
"""
RECEIVED = [(signal.SIGTERM, ""), (signal.SIGINT, ""), (signal.SIGINT, BY_ANOTHER_THREAD)]


@pytest.mark.parametrize(("number", "before"), RECEIVED, ids=["SIGTERM", "SIGINT", "SIGINT by another thread"])
@pytest.mark.parametrize("what", BLOCKED)
def test_stopping__main_thread_waits_for_something__ends(what: str, number: int, before: str, tmp_path: Path) -> None:
    program = (
        f"{before}import faulthandler, os\nfrom accounts.management.stopping import Stopping\n"
        f"faulthandler.dump_traceback_later({PATIENCE - 5})\n"  # says where each thread is, should it not end
        "say = lambda: os.write(2, b'.')\n"
        f"with Stopping(may_exit=True):\n    exec({BLOCKED[what]!r})\nos._exit(0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None and process.stderr.read(1) == b"."
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        print(process.communicate()[1].decode())  # pytest shows it if the test fails


# --- Beside each other ------------------------------------------------------------------------------------------------


@beside
def test_worker__slow_mail_server__jobs_and_the_order_of_events_go_on() -> None:
    OrganizationFactory.with_ids(*"abcde", plan="le_chat_free", actor=ActorFactory(of_commands=True))
    for number in range(3):
        message(number)
    out = ("--surface", "le_chat_console", "--choice", "opted_out", "--all")
    with mail_server(mail_receiver.silent) as server, worker(mail=server.url):
        assert server.called.wait(PATIENCE)
        assert run("set_consent", *out, *ACTOR, "--yes", "--background").code == 0
        until(BulkJob.objects.filter(status="done").exists)
        until(lambda: not ConsentEvent.objects.filter(placed=None).exists())
        assert set(choices_of("le_chat").values()) == {"opted_out"}
        assert len(server.begun) == 1 and OutgoingMessage.objects.count() >= 3


@beside
def test_workers__two_at_once__each_mail_once() -> None:
    for number in range(30):
        message(number)
    with mail_server() as server, worker(mail=server.url), worker(mail=server.url):
        until(lambda: not OutgoingMessage.objects.exists())
    assert sorted(server.recipients) == sorted(f"{number}@kvasir.example" for number in range(30))


@pytest.mark.django_db
def test_outbox__message_on_its_way__nobody_elses_as_long_as_a_conversation_may_last() -> None:
    message()
    assert outbox._take_message() is not None
    until = OutgoingMessage.objects.get().next_attempt_at
    for minutes, free in ((2, False), (5, False), (9, False), (11, True)):
        # The lease moves, not the clock: on PostgreSQL that is the server's.
        OutgoingMessage.objects.update(next_attempt_at=until - dt.timedelta(minutes=minutes))
        assert (outbox._take_message() is not None) is free


# --- Once -------------------------------------------------------------------------------------------------------------


@beside
def test_worker__once__ends_though_more_comes_with_each_delivery(settings: Any, cast: Cast) -> None:
    settings.DEBUG, settings.WEBHOOK_ALLOWED_NETWORKS = True, ["127.0.0.0/8", "::1/128"]
    names = iter(range(100))

    def again(handler: webhook_receiver.Handler) -> None:
        happen(cast, f"Kvasir {next(names)}")
        message(next(names))
        webhooks.request_test(endpoint=endpoint, actor=cast.provider) if not tests() else None
        connection.close()
        webhook_receiver.ok(handler)

    def tests() -> bool:
        return bool(endpoint.attempts.filter(waiting_for__isnull=False))

    with receiver() as there:
        endpoint = webhooks.create_endpoint(organization=None, url=there.url, actor=cast.provider, source="admin")
        happen(cast, "Kvasir A")
        happen(cast, "Kvasir B")
        there.behave = again
        assert run("worker", "--once").code == 0
        assert [event["kind"] for event in there.events] == ["organization.updated"] * 2
    assert OutgoingMessage.objects.count() == 2 and tests()
    assert WebhookEndpoint.objects.get().position < ledger.head() + 1 and ConsentEvent.objects.filter(placed=None)


def happen(cast: Cast, name: str) -> None:
    organizations.update_organization(organization=cast.labs, name=name, actor=cast.provider, source="admin")
