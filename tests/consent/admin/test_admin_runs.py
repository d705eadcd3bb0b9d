"""Training runs on the operators' site."""

import datetime as dt
import html
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.templatetags.times import exactly
from consent import ledger
from consent.models import LogCheckpoint, OpenRemoval, RemovalAcknowledgement, RemovalBatch, TrainingRun
from consent.services import choices
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.cast import Cast, signed_in
from tests.support.ledger_guards import behind_the_guards, changes_nothing, sql
from tests.support.log import SETTINGS, step
from tests.support.training import register, report


@pytest.fixture
def client(cast: Cast) -> Client:
    return signed_in(cast.operator.email)


@pytest.fixture
def run(cast: Cast) -> TrainingRun:
    return register(actor=cast.provider, external_id="exp-12", purpose="The next small model")


def page(client: Client, run: TrainingRun) -> str:
    response = client.get(url(run))
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def url(run: TrainingRun, name: str = "change", *args: object) -> str:
    return reverse(f"admin:consent_trainingrun_{name}", args=[run.pk, *args])


def opt_out(cast: Cast) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )


def test_page__of_a_run__has_its_data_and_reasons_in_words(client: Client, run: TrainingRun) -> None:
    text = page(client, run)
    for words in ("The next small model", "exp-12", "part-000.parquet", run.dataset_digest, "Because of the member"):
        assert words in text
    assert "Organization opted out" in text and "organization_opted_out" not in text
    assert "Nothing had to be removed yet." in text
    manifest = client.get(url(run, "manifest"))
    assert manifest.content.decode() == run.manifest and "attachment" in manifest["Content-Disposition"]


def test_page__checkpoint_behind_the_run__is_shown_with_its_size_and_time(
    client: Client, cast: Cast, settings: Any
) -> None:
    ledger.sequence()
    assert "Checkpoint of the log" not in page(client, register(actor=cast.provider))
    for name, value in SETTINGS.items():
        setattr(settings, name, value)
    text = page(client, register(actor=cast.provider))
    assert "Checkpoint of the log" in text and "None covered the run yet" in text
    step()
    signed = LogCheckpoint.objects.get()
    text = page(client, made := register(report(1), actor=cast.provider))
    assert f"of {signed.size} events, signed {exactly(signed.signed_at)}" in text
    with behind_the_guards():
        for manifest in (made.manifest.replace('"payload": "', '"payload": "x'), "{}", "[]", ""):
            sql(f"UPDATE {TrainingRun._meta.db_table} SET manifest = %s", [manifest])
            assert "verify_ledger says more" in page(client, made)


def test_page__removal__is_issued_acknowledged_and_shown(client: Client, cast: Cast, run: TrainingRun) -> None:
    assert client.post(url(run, "issue")).status_code == 302
    assert not RemovalBatch.objects.exists()
    opt_out(cast)
    assert client.post(url(run, "issue")).status_code == 302
    batch = RemovalBatch.objects.get()
    form = url(run, "acknowledge", batch.pk)
    assert form in page(client, run) and "To be acknowledged" in page(client, run)
    assert client.get(form).status_code == 200
    with changes_nothing():
        assert client.post(form, {"removed": "-1"}).status_code == 400
    assert client.post(form, {"removed": "920", "note": "by merge"}).status_code == 302
    said = RemovalAcknowledgement.objects.get()
    assert (said.removed, said.note, said.acknowledged_by) == (920, "by merge", cast.operator)
    assert "Acknowledged" in page(client, run) and "by merge" in page(client, run)
    with changes_nothing():
        assert client.post(form, {"removed": "1"}).status_code == 409


def test_page__overdue__is_on_the_overview_and_in_the_list(client: Client, cast: Cast, run: TrainingRun) -> None:
    opt_out(cast)
    client.post(url(run, "issue"))
    changes = reverse("admin:consent_trainingrun_changelist")
    assert "1 open" in client.get(changes).content.decode()
    assert "overdue" not in client.get("/admin/").content.decode()
    OpenRemoval.objects.update(due_at=ledger.clock() - dt.timedelta(seconds=1))
    assert "1 removal from a training run is overdue." in client.get("/admin/").content.decode()
    assert "1 overdue" in client.get(changes).content.decode()
    assert "consent_removal_batches_overdue 1.0" in client.get("/metrics").content.decode()


def test_retire__with_a_reason__ends_it(client: Client, run: TrainingRun) -> None:
    with changes_nothing():
        assert client.post(url(run, "retire"), {"reason": ""}).status_code == 400
    assert client.post(url(run, "retire"), {"reason": "Replaced"}).status_code == 302
    text = page(client, run)
    assert "Retired" in text and "Replaced" in text and "Look for removals now" not in text
    assert client.post(url(run, "issue")).status_code == 409


def test_list__of_many_files_and_runs__asks_the_database_as_often(
    client: Client, cast: Cast, django_assert_max_num_queries: object
) -> None:
    for n in range(12):
        register(*(report(2, name=f"{n}-{m}") for m in range(3)), actor=cast.provider)
    changes = reverse("admin:consent_trainingrun_changelist")
    with django_assert_max_num_queries(14):  # type: ignore[operator]
        assert client.get(changes).status_code == 200


@pytest.mark.parametrize("name", ["change", "manifest"])
def test_page__for_others__is_forbidden_or_absent(cast: Cast, run: TrainingRun, name: str) -> None:
    assert signed_in(cast.owner.email).get(url(run, name)).status_code == 403
    assert Client().get(url(run, name)).status_code == 302
    run.pk = cast.labs.pk
    assert signed_in(cast.operator.email).get(url(run, name)).status_code == 404


@pytest.mark.parametrize(
    ("model", "told"), [("trainingrun", "manage.py register_run"), ("consumer", "Add one and give it the key")]
)
def test_list__empty__says_how_the_first_one_comes(client: Client, model: str, told: str) -> None:
    text = html.unescape(client.get(reverse(f"admin:consent_{model}_changelist")).content.decode())
    assert told in text and "There are none yet." not in text
    filtered = html.unescape(
        client.get(reverse(f"admin:consent_{model}_changelist"), {"retirement": "x"}).content.decode()
    )
    assert told not in filtered


def test_page__without_removals__says_how_the_first_one_comes_while_it_is_in_use(
    client: Client, run: TrainingRun
) -> None:
    assert "or at once by the button above" in page(client, run)
    assert client.post(url(run, "retire"), {"reason": "Replaced"}).status_code == 302
    assert "or at once by the button above" not in page(client, run)
