"""verify_manifest: by the keys of the portal, whose own checkpoint it has to be, or by keys that are given."""

import json
from pathlib import Path
from typing import Any

import pytest

from consent import ledger, manifests, verification_runs
from consent.log import origins
from consent.models import TrainingRun
from consent.pipeline import dsse
from consent.proofs import note
from consent.proofs.note import Checkpoint
from consent.services import restored
from tests.support import log, proofs, snapshots
from tests.support.cast import Cast
from tests.support.commands import run
from tests.support.log import SIGNER
from tests.support.training import register, report

GIVEN = ("--vkey", str(SIGNER.verifier))


@pytest.fixture
def kept(settings: Any, cast: Cast) -> None:
    for name, value in log.SETTINGS.items():
        setattr(settings, name, value)
    ledger.sequence()
    log.step()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.json"


def write(path: Path, **changes: Any) -> TrainingRun:
    """The manifest of a run that is registered now; with `changes` it is signed again, with the portal's key."""
    registered = register(report(1))
    content = registered.manifest.encode()
    if changes:
        statement = dsse.verify(content, manifests.signing_key().public_key())
        statement["predicate"] |= changes
        content = dsse.sign(statement, manifests.signing_key())
    path.write_bytes(content)
    return registered


def test_verify_manifest__of_this_portal__checks_signature_checkpoint_and_that_it_is_kept_here(
    kept: None, path: Path
) -> None:
    registered = write(path)
    done = run("verify_manifest", str(path))
    assert (done.code, done.out.count("yes  ")) == (0, 5) and str(registered.pk) in done.out
    assert "one that this portal keeps" in done.out
    done = run("verify_manifest", str(path), *GIVEN, "--format", "json")
    assert done.code == 0 and len(json.loads(done.out)["checks"]) == 4


@pytest.mark.parametrize("size", [1, 2_000_000, 2**62])
def test_verify_manifest__signed_checkpoint_that_is_not_kept_here__does_not_hold(
    kept: None, path: Path, size: int
) -> None:
    """Two logs under one key: that is what a checkpoint is kept for."""
    write(path, checkpoint=note.sign(Checkpoint(SIGNER.name, size, bytes(32)).text(), SIGNER))
    done = run("verify_manifest", str(path))
    assert done.code == 1 and f"no checkpoint of {size} events" in done.out and "proves nothing" in done.out
    assert run("verify_manifest", str(path), *GIVEN).code == 0


def test_verify_manifest__same_size_with_another_root__does_not_hold(kept: None, path: Path) -> None:
    size = ledger.head()
    write(path, checkpoint=note.sign(Checkpoint(SIGNER.name, size, bytes(32)).text(), SIGNER))
    done = run("verify_manifest", str(path))
    assert done.code == 1 and "with that root" in done.out


def test_verify_manifest__carries_no_checkpoint__holds_unless_the_key_was_given(kept: None, path: Path) -> None:
    write(path, checkpoint=None)
    done = run("verify_manifest", str(path))
    assert done.code == 0 and "none covered the run yet" in done.out
    done = run("verify_manifest", str(path), *GIVEN)
    assert done.code == 1 and "none covered the run yet" in done.out


def test_verify_manifest__after_a_restore__of_the_origin_that_ended_and_of_the_next(
    kept: None, path: Path, cast: Cast
) -> None:
    before = write(path)
    restored.begin_epoch(epoch=2, restored_to=3, lost_to=3, actor=cast.provider, reason="Both disks failed")
    ledger.sequence()
    assert run("verify_manifest", str(path)).code == 0
    origins.begin_next(paused=False)
    log.step()
    done = run("verify_manifest", str(path))
    assert done.code == 0 and f"The log {log.ORIGIN} had" in done.out and str(before.pk) in done.out
    write(path)
    done = run("verify_manifest", str(path))
    assert done.code == 0 and f"The log {log.ORIGIN}/2 had" in done.out
    # The key is the same, but to verifiers it is another under each name.
    done = run("verify_manifest", str(path), *GIVEN)
    assert done.code == 1 and f"is of the log {log.ORIGIN}/2, and the key is of {log.ORIGIN}." in done.out
    assert run("verify_manifest", str(path), "--vkey", str(SIGNER.under(f"{log.ORIGIN}/2").verifier)).code == 0
    assert list(verification_runs.problems()) == []


def test_verify_manifest__no_log_here__says_that_the_checkpoint_was_not_checked(
    kept: None, path: Path, settings: Any
) -> None:
    write(path)
    settings.LOG_SIGNING_KEY = ""
    done = run("verify_manifest", str(path))
    assert done.code == 0 and "checkpoint was not checked" in done.out
    done = run("verify_manifest", str(path), "--format", "json")
    assert json.loads(done.out)["checkpoint"] is None


@pytest.mark.parametrize("vkey", [proofs.OTHER_VKEY])
def test_verify_manifest__another_key_of_the_log__does_not_hold(kept: None, path: Path, vkey: str) -> None:
    write(path)
    done = run("verify_manifest", str(path), "--vkey", vkey)
    assert done.code == 1 and "with another key" in done.out and "The manifest does not hold." in done.err


def test_verify_manifest__by_keys_that_are_given__needs_no_database(path: Path) -> None:
    """Without a fixture of the database a query would fail."""
    file = {"name": "a", "rows": 1, "size": 1, "sha256": "0" * 64, "position": 41}
    predicate = {"run": {"id": "R"}, "files": [file], "snapshots": [{"decided_at": 1, "position": 41}]}
    statement = dsse.statement(
        "https://p.example/training-run/v1", predicate | {"checkpoint": proofs.checkpoint()}, [file]
    )
    path.write_bytes(dsse.sign(statement, snapshots.KEY))
    given = ("--verify-key", snapshots.VERIFY_KEY, "--vkey", proofs.VKEY)
    assert run("verify_manifest", str(path), *given).code == 0
    other = ("--verify-key", dsse.public_text(snapshots.OTHER_KEY), "--vkey", proofs.VKEY)
    done = run("verify_manifest", str(path), *other)
    assert done.code == 1 and "no   the manifest is signed" in done.out


def test_verify_manifest__what_can_not_be_read__exit_code_2(kept: None, path: Path, settings: Any) -> None:
    done = run("verify_manifest", str(path))
    assert (done.code, done.out) == (2, "") and "Nothing was proven." in done.err
    write(path)
    done = run("verify_manifest", str(path), "--vkey", "x")
    assert (done.code, done.out) == (2, "") and "key of the log can't be read" in done.err
    settings.LOG_VERIFIER_KEY = ["malformed"]
    assert run("verify_manifest", str(path)).code == 2
    settings.LOG_VERIFIER_KEY, settings.MANIFEST_SIGNING_KEY = [], ""
    done = run("verify_manifest", str(path))
    assert done.code == 2 and "MANIFEST_SIGNING_KEY" in done.err
