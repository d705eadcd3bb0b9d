"""Runs of a portal that keeps a log: which checkpoint their manifests carry, and what is said of an altered one."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from consent import ledger, manifests, verification_runs
from consent.log.checkpoints import latest
from consent.models import LogCheckpoint, TrainingRun
from consent.pipeline import dsse
from consent.services import run_manifests
from tests.support import proofs
from tests.support.cast import Cast
from tests.support.ledger_guards import behind_the_guards, sql
from tests.support.log import SETTINGS, add_events, step
from tests.support.training import register, report

pytestmark = pytest.mark.django_db


@pytest.fixture
def log(settings: Any, cast: Cast) -> Iterator[None]:
    for name, value in SETTINGS.items():
        setattr(settings, name, value)
    ledger.sequence()
    return


def carried(run: TrainingRun) -> Any:
    return manifests.predicate_of(run.manifest).get("checkpoint", "nothing")


def test_register__log_has_come_so_far__carries_the_newest_checkpoint_byte_for_byte(log: None) -> None:
    made = report()
    step()
    early = latest()
    add_events(5)
    step()
    newest = latest()
    assert early and newest and early.size < newest.size
    run = register(made)
    assert carried(run) == newest.note
    behind = run_manifests.checkpoint_of(run)
    assert behind and behind.kept == newest and behind.claimed and behind.claimed.size == newest.size
    assert list(verification_runs.problems()) == []


def test_register__no_checkpoint_covers_the_position_yet__says_so_and_waits_for_nothing(log: None) -> None:
    assert carried(register()) is None  # nothing was signed yet
    step()
    add_events(1)
    run = register(report())
    assert carried(run) is None and run_manifests.checkpoint_of(run) == (None,)
    step()
    stored = TrainingRun.objects.get(pk=run.pk)
    assert stored.manifest == run.manifest, "a manifest does not change when a checkpoint comes"
    assert list(verification_runs.problems()) == []


def test_register__of_several_snapshots__the_last_position_is_covered(log: None) -> None:
    signed = ledger.head()
    step()
    add_events(2)
    beyond = ledger.head()
    assert carried(register(report(1, name="a"), report(signed, name="b"))) == LogCheckpoint.objects.get().note
    assert carried(register(report(1, name="c"), report(beyond, name="d"))) is None


def test_register__no_key_of_a_log__says_nothing_of_one(log: None, settings: Any) -> None:
    step()
    settings.LOG_SIGNING_KEY = ""
    run = register()
    assert carried(run) == "nothing" and run_manifests.checkpoint_of(run) is None
    settings.LOG_VERIFIER_KEY = [proofs.VKEY]  # a process that serves the log, and can't sign
    assert carried(register(report(1))) == LogCheckpoint.objects.get().note


def test_register__checkpoint_that_the_key_did_not_sign__carries_none_and_does_not_fail(
    log: None, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    step()
    settings.LOG_SIGNING_KEY, settings.LOG_VERIFIER_KEY = "", [proofs.OTHER_VKEY]
    assert carried(register(report(1))) is None
    assert "is given to nobody" in caplog.text
    settings.LOG_VERIFIER_KEY = ["malformed"]
    assert carried(register(report(1, name="b"))) is None


@pytest.mark.parametrize(
    ("altered", "problem"),
    [
        (lambda note: note.replace("portal.example", "elsewhere.example"), "that the log does not have"),
        (lambda _note: proofs.checkpoint(299), "that the log does not have"),
        (lambda _note: "Hello", "that the log does not have"),
        (lambda _note: 7, "that the log does not have"),
        (lambda _note: LogCheckpoint.objects.first().note, "does not cover what it rests on"),  # type: ignore[union-attr]
    ],
)
def test_verify_ledger__stored_manifest_with_another_checkpoint__is_a_problem(
    log: None, altered: Any, problem: str
) -> None:
    step()
    add_events(3)
    made = report()
    step()
    run = register(made)
    envelope = json.loads(run.manifest)
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["checkpoint"] = altered(statement["predicate"]["checkpoint"])
    manifest = dsse.sign(statement, manifests.signing_key()).decode()
    with behind_the_guards():
        sql(f"UPDATE {TrainingRun._meta.db_table} SET manifest = %s", [manifest])
    (found,) = verification_runs.problems()
    assert problem in found and str(run.pk) in found
    stored = run_manifests.checkpoint_of(TrainingRun.objects.get())
    assert stored and (stored.kept is not None) is ("does not cover" in problem)
