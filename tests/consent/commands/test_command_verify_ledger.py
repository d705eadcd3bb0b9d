import threading

import pytest
from django.db import connection, connections

from accounts.models import Organization, Subscription
from consent import ledger, verification
from consent.models import PrivacySetting
from tests.conftest import lift_triggers
from tests.support.commands import database, run
from tests.support.factories import ActorFactory, OrganizationFactory


@pytest.mark.django_db
def test_verify_ledger__whole__exit_0_with_counts_and_nothing_changed() -> None:
    operator = ActorFactory(of_commands=True)
    OrganizationFactory.with_ids("a", "b", plan="le_chat_free", actor=operator)
    ledger.sequence()
    OrganizationFactory.with_ids("c", actor=operator)
    before = database()
    result = run("verify_ledger")
    assert result.code == 0
    assert [line.split() for line in result.out.splitlines()] == [
        ["events", "5"], ["settings", "2"], ["head", "4"], ["pending", "1"], ["leaves", "0"], ["checkpoints", "0"],
        ["problems", "0"],
    ]  # fmt: skip
    after = database()
    assert [row[2:] for row in after.pop("consent_verification")] == [(4, 0)]  # for the dashboard
    assert before.pop("consent_verification") == []
    assert after == before


@pytest.mark.django_db
def test_verify_ledger__empty__exit_0() -> None:
    result = run("verify_ledger", "--format", "json")
    assert (result.code, result.json) == (
        0,
        {"events": 0, "settings": 0, "head": 0, "pending": 0, "leaves": 0, "checkpoints": 0}
        | {"problems": [], "ok": True},
    )  # fmt: skip


@pytest.mark.django_db
def test_verify_ledger__setting_and_subscription_tampered_with__exit_1_and_each_named() -> None:
    [organization] = OrganizationFactory.with_ids("a", plan="le_chat_teams", actor=ActorFactory(of_commands=True))
    PrivacySetting.objects.update(choice="opted_in", allowed=True, reason_code="organization_opted_in")
    Subscription.objects.update(plan_id="le_chat_free")
    result = run("verify_ledger", "--format", "json")
    assert (result.code, result.json["ok"]) == (1, False)
    assert (
        f"setting of organization {organization.pk}, le_chat: choice, allowed, reason_code differ from the ledger"
        in (result.json["problems"])
    )
    assert len(result.json["problems"]) == 3
    assert result.err.endswith("Failed: The ledger is not as it should be: 3 problems.\n")


@pytest.mark.django_db(transaction=True)
def test_verify_ledger__triggers_gone__exit_1() -> None:
    lift_triggers()
    result = run("verify_ledger")
    assert result.code == 1
    assert "problems" in result.err


@pytest.mark.django_db(transaction=True)
def test_verify_ledger__others_write_meanwhile__sees_one_moment_and_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = ActorFactory(of_commands=True)
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    ordinary = verification._verify_layers

    def write_meanwhile(*args: object) -> None:
        def write() -> None:
            OrganizationFactory.with_ids("b", plan="le_chat_free", actor=operator)
            connections.close_all()

        writer = threading.Thread(target=write)
        writer.start()
        writer.join(timeout=15)
        assert not writer.is_alive()
        ordinary(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(verification, "_verify_layers", write_meanwhile)
    result = run("verify_ledger", "--format", "json")
    assert Organization.objects.count() == 2
    assert (result.code, result.json["events"], result.json["pending"]) == (0, 2, 2)
    if connection.vendor == "sqlite":
        assert connection.transaction_mode == "IMMEDIATE"
