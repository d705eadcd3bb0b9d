"""Keys that must not reach what training needs: an organization's, and those that have ended, whatever their scopes."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey
from consent import ledger
from consent.models import RemovalBatch
from consent.services import choices, credentials, removals
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support import snapshots
from tests.support.callers import Caller, World
from tests.support.consumers import registered
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing
from tests.support.training import register, report, with_snapshots

SCOPES = ["pipeline:read", "runs:write", "consumer:write"]


@pytest.fixture
def targets(world: World, settings: Any, tmp_path: Path) -> list[tuple[str, str, Any]]:
    """Every address about training, with a body that its holder would send."""
    settings.SNAPSHOT_DIR = str(tmp_path)
    snapshots.write(tmp_path, position=7)
    run = register(actor=world.cast.provider)
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=world.cast.labs, choice="opted_out", actor=world.cast.provider,
        source="admin",
    )  # fmt: skip
    batch = removals.issue(run=run, actor=world.cast.provider, source="admin")
    assert isinstance(batch, RemovalBatch)
    consumer = registered(world.cast).consumer
    own, sent = f"training-runs/{run.pk}/", {"name": "R-78", "reports": with_snapshots(report(1))}
    ledger.sequence()
    reads = ("", "manifest/", "removals/", "removal-batches/")
    return [
        *(("GET", f"snapshots/{path}", None) for path in ("", "7/", "7/files/manifest.json")),
        ("GET", "training-runs/", None),
        *(("GET", f"{own}{path}", None) for path in reads),
        ("GET", "consumers/", None),
        ("POST", "training-runs/", sent),
        ("POST", f"{own}retire/", {"reason": "x"}),
        ("POST", f"{own}removal-batches/", {}),
        ("POST", f"{own}removals/{batch.pk}/acknowledge/", {"removed": 1}),
        ("PUT", f"consumers/{consumer.pk}/position/", {"position": 1}),
    ]


def of_organization(world: World) -> tuple[ApiKey, str]:
    """A key that no service issues: an organization's, with scopes of operators."""
    key, text = issue_key("forged", ["events:read"], organization=world.cast.labs, issued_by=world.cast.owner)
    ApiKey.objects.filter(pk=key.pk).update(scopes=SCOPES)
    return key, text


def of_operator(world: World, end: Callable[[ApiKey], Any]) -> tuple[ApiKey, str]:
    key, text = issue_key("pipeline", SCOPES, issued_by=world.cast.operator)
    end(key)
    return key, text


def expire(key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - dt.timedelta(seconds=1))


def suspend(key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(suspended_at=timezone.now())


@pytest.mark.parametrize("how", ["organization", "expired", "suspended", "revoked"])
def test_training__by_a_key_that_must_not__refused_alike_everywhere_and_nothing_changes(
    world: World, targets: list[tuple[str, str, Any]], how: str
) -> None:
    def revoke(key: ApiKey) -> None:
        credentials.revoke_key(key=key, actor=world.cast.provider, source="admin")

    ends = {"expired": expire, "suspended": suspend, "revoked": revoke}
    _key, text = of_organization(world) if how == "organization" else of_operator(world, ends[how])
    caller = Caller(Client(), {"Authorization": f"Bearer {text}"})
    ledger.sequence()
    with changes_nothing():
        answers = {(method, path): caller(method, path, sent) for method, path, sent in targets}
    refused = {403, 404} if how == "organization" else {401}
    assert {where: answer.status_code for where, answer in answers.items() if answer.status_code not in refused} == {}
    assert all(set(json.loads(answer.content)) >= {"status", "code", "detail"} for answer in answers.values())
