"""Plans on the operators' site: made, edited, with what was done to them; never a default changed by a form."""

import pytest
from django.test import Client
from django.utils.html import escape

from accounts.models import Plan
from consent.jobs import actions, engine
from consent.services import plans
from tests.support.cast import Cast
from tests.support.ledger_guards import changes_nothing
from tests.support.operators_site import events_after, last_event, organization_url, url

pytestmark = pytest.mark.django_db
NEW = {
    "product": "le_chat", "key": "le_chat_team_plus", "name": "Le Chat Team Plus", "description": "For growing teams.",
    "training_default": "opted_out", "reason": "Board 12",
}  # fmt: skip
EDIT = {"name": "Le Chat Team", "description": "For teams.", "position": "4", "reason": "Renamed"}


@pytest.fixture
def operator(cast: Cast, client: Client) -> Client:
    client.force_login(cast.operator)
    return client


def page(client: Client, plan: str) -> str:
    return client.get(url("accounts_plan_change", plan)).content.decode()


def test_plan__made_then_edited__its_page_has_both_in_its_history(operator: Client) -> None:
    last = last_event()
    made = operator.post(url("accounts_plan_add"), NEW, follow=True)
    assert made.status_code == 200 and "The plan is made." in made.content.decode()
    assert operator.post(url("accounts_plan_change", NEW["key"]), EDIT).status_code == 302
    assert [event.kind for event in events_after(last)] == ["access.plan_created", "access.plan_edited"]
    text = page(operator, NEW["key"])
    for words in ("Plan created", "Plan edited", "Board 12", "Renamed", "Odin Eriksen", "description, name, position"):
        assert words in text
    assert "Le Chat Team Plus" not in [each.name for each in Plan.objects.all()]


def test_plan__bad_values__said_at_the_field_and_nothing_changed(operator: Client) -> None:
    for path, sent, field in (
        (url("accounts_plan_add"), {**NEW, "key": "le_chat_pro"}, "key"),
        (url("accounts_plan_add"), {**NEW, "key": "Other"}, "key"),
        (url("accounts_plan_add"), {**NEW, "training_default": "opted_in"}, "training_default"),
        (url("accounts_plan_change", "le_chat_teams"), {**EDIT, "name": "Le Chat Pro"}, "name"),
        (url("accounts_plan_change", "le_chat_teams"), {**EDIT, "position": "-1"}, "position"),
    ):
        before = list(Plan.objects.values())
        with changes_nothing():
            refused = operator.post(path, sent)
        assert refused.status_code in (400, 409)
        assert field in refused.context["form"].errors
        assert list(Plan.objects.values()) == before


def test_plan__key_product_and_default_sent__are_not_changed(operator: Client) -> None:
    sent = {**EDIT, "key": "le_chat_other", "product": "ai_studio", "training_default": "opted_out"}
    operator.post(url("accounts_plan_change", "le_chat_pro"), sent)
    plan = Plan.objects.get(pk="le_chat_pro")
    assert (plan.name, plan.product, plan.training_default) == ("Le Chat Team", "le_chat", "opted_in")
    assert not Plan.objects.filter(pk="le_chat_other").exists()


def test_default__changed_by_a_job__is_in_the_history_of_its_plan_alone(cast: Cast, operator: Client) -> None:
    plan = plans.get_plan("le_chat_free")
    by = {"actor": cast.provider, "source": "admin"}
    job = actions.preview_default(plan=plan, default="opted_out", reason="Terms of December", **by)  # type: ignore[arg-type]
    assert "Terms of December" not in page(operator, "le_chat_free"), "a preview changes nothing"
    job = actions.submit(job=job, actor=cast.provider, digest=job.digest)
    engine.run(engine.claim(job))
    text = page(operator, "le_chat_free")
    assert "Terms of December" in text and url("consent_bulkjob_change", job.pk) in text
    assert "Terms of December" not in page(operator, "le_chat_pro")
    assert f"{url('bulk')}?plan=le_chat_free#default" in text


def test_bulk_page__from_a_plans_page__has_that_plan_selected(operator: Client) -> None:
    text = operator.get(url("bulk"), {"plan": "le_chat_teams"}).content.decode()
    assert '<option value="le_chat_teams" selected>' in text


def test_description__shown_where_a_plan_is_chosen_and_before_it_is_confirmed(cast: Cast, operator: Client) -> None:
    by = {"actor": cast.provider, "source": "admin"}
    plans.edit_plan(plan=plans.get_plan("le_chat_teams"), description="For teams’ work <3", **by)  # type: ignore[arg-type]
    for path in (organization_url(cast, "change"), url("accounts_organization_add"), url("bulk")):
        assert escape("Le Chat Teams – For teams’ work <3") in operator.get(path).content.decode()
    asked = operator.post(organization_url(cast, "plan", "le_chat"), {"plan": "le_chat_teams", "reason": "x"})
    assert escape("Le Chat Teams: For teams’ work <3") in asked.content.decode()


@pytest.mark.parametrize("ident", ["nowhere", "x" * 50])
def test_plan__unknown__404(operator: Client, ident: str) -> None:
    assert operator.get(url("accounts_plan_change", ident)).status_code == 404


@pytest.mark.parametrize("who", ["owner", "outsider"])
def test_plans__posted_by_no_operator__forbidden(cast: Cast, client: Client, who: str) -> None:
    client.force_login(getattr(cast, who))
    for path, sent in ((url("accounts_plan_add"), NEW), (url("accounts_plan_change", "le_chat_pro"), EDIT)):
        with changes_nothing():
            assert client.post(path, sent).status_code == 403
    assert not Plan.objects.filter(pk=NEW["key"]).exists()


def test_page__nul_in_the_key__refused(operator: Client) -> None:
    assert operator.get("/admin/accounts/plan/%00/change/").status_code == 400
