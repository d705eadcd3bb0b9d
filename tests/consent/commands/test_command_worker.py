import os
import signal

import pytest

from consent import verification
from consent.jobs import engine
from consent.models import BulkJob, ConsentEvent
from tests.support.commands import ACTOR, choices_of, run
from tests.support.factories import ActorFactory, OrganizationFactory
from tests.support.jobs import lapse

pytestmark = pytest.mark.django_db


@pytest.fixture
def queued() -> BulkJob:
    OrganizationFactory.with_ids(*"abcde", plan="le_chat_free", actor=ActorFactory(of_commands=True))
    out = ("--surface", "le_chat_console", "--choice", "opted_out", "--all")
    assert run("set_consent", *out, *ACTOR, "--yes", "--background").code == 0
    return BulkJob.objects.get()


def in_twos(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in ("FIRST", "SMALLEST", "LARGEST"):
        monkeypatch.setattr(engine, size, 2)


def test_worker__once__runs_what_is_queued_and_places_the_events(queued: BulkJob) -> None:
    result = run("worker", "--once")
    assert (result.code, result.out) == (0, "")
    queued.refresh_from_db()
    assert (queued.status, queued.changed) == ("done", 5)
    assert set(choices_of("le_chat").values()) == {"opted_out"}
    assert not ConsentEvent.objects.filter(placed=None).exists()
    assert run("worker", "--once").code == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("argv", [(), ("--once",)])
def test_worker__told_to_end__ends_after_the_chunk_and_the_next_one_goes_on(
    queued: BulkJob, monkeypatch: pytest.MonkeyPatch, number: int, argv: tuple[str, ...]
) -> None:
    in_twos(monkeypatch)
    ordinary, handler = engine._work, signal.getsignal(number)

    def work_and_signal(job: BulkJob, last: int) -> None:
        ordinary(job, last)
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_work", work_and_signal)
        assert run("worker", *argv).code == 0
    queued.refresh_from_db()
    assert (queued.status, queued.cursor, queued.leased_until) == ("running", 2, None)
    assert signal.getsignal(number) == handler
    assert run("worker", "--once").code == 0
    queued.refresh_from_db()
    assert (queued.status, queued.changed) == ("done", 5)
    assert verification.verify().problems == []


def test_worker__job_that_another_runs__left_alone_until_that_one_is_gone(
    queued: BulkJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_twos(monkeypatch)
    engine._chunk(engine.claim(queued), 2)
    assert run("worker", "--once").code == 0
    queued.refresh_from_db()
    assert (queued.status, queued.cursor) == ("running", 2)
    lapse(queued)
    assert run("worker", "--once").code == 0
    queued.refresh_from_db()
    assert (queued.status, queued.changed) == ("done", 5)


def test_worker__job_that_fails__kept_as_failed_and_the_next_is_run(
    queued: BulkJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        "set_consent",
        "--surface",
        "ai_studio_console",
        "--choice",
        "opted_out",
        "--all",
        *ACTOR,
        "--yes",
        "--background",
    )
    ordinary = engine._work

    def fail_once(job: BulkJob, last: int) -> None:
        if job.pk == queued.pk:
            raise RuntimeError("broken")
        ordinary(job, last)

    monkeypatch.setattr(engine, "_work", fail_once)
    assert run("worker", "--once").code == 0
    assert list(BulkJob.objects.order_by("pk").values_list("status", flat=True)) == ["failed", "done"]
    queued.refresh_from_db()
    assert queued.error == "RuntimeError: broken"
