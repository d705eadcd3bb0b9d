"""Why?: asked by names, addresses and external ids, linked from rows; and what the answer would be if."""

import datetime as dt
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from accounts.models import Plan, User
from consent import decisions, ledger
from consent.admin import why as page_module
from consent.admin.why_forms import InstantInput, shortly_after
from consent.lookups import Question
from consent.models import ConsentEvent
from consent.projections import runner
from consent.services import choices, cooling_off, locks, plans
from consent.suppositions import Supposition
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE
from tests.support.cast import Cast
from tests.support.factories import MemberFactory, OrganizationFactory, UserFactory
from tests.support.ledger_guards import everything
from tests.support.operators_site import organization_url, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(cast: Cast, client: Client) -> Client:
    client.force_login(cast.operator)
    return client


@pytest.fixture
def named(cast: Cast) -> Cast:
    OrganizationFactory(name="Kvasir Ørsted", external_id="orsted", plan="ai_studio_scale", actor=cast.provider)
    MemberFactory(
        organization=cast.labs, user=UserFactory(email="dagny@kvasir.example", name="Dagny Bråten"),
        external_id="seat-9", actor=cast.provider,
    )  # fmt: skip
    ledger.sequence()
    runner.catch_up("words")
    return cast


def ask(operator: Client, status: int = 200, **query: str) -> Any:
    page = operator.get(url("why"), {"product": "ai_studio", **query})
    assert page.status_code == status
    return page.context


@pytest.mark.parametrize("text", ["labs", "LABS kvas", "dag@kvasir.example"])
def test_organization__meant_by_one_text__asked_about(named: Cast, operator: Client, text: str) -> None:
    assert ask(operator, organization=text)["organization"] == named.labs


def test_organization__by_external_id__asked_as_a_pipeline_asks(named: Cast, operator: Client) -> None:
    layers = [layer.layer for layer in ask(operator, organization="orsted")["answer"].decision.layers]
    assert layers == ["organization", "external_id"]


@pytest.mark.parametrize("text", ["dagny", "BRATEN dag", "dagny@KVASIR.example", "seat-9", "external:seat-9"])
def test_member__meant_by_one_text__asked_about(named: Cast, operator: Client, text: str) -> None:
    found = ask(operator, organization="labs", product="le_chat", member=text)
    assert found["member"].user.email == "dagny@kvasir.example" and found["answer"] is not None


def test_member__by_address_alone__finds_the_organization_too(named: Cast, operator: Client) -> None:
    found = ask(operator, product="le_chat", member="dag@kvasir.example")
    assert (found["organization"], found["member"]) == (named.labs, named.labs_member)


def test_several_meant__a_choice_of_links__that_answer(named: Cast, operator: Client) -> None:
    found = ask(operator, 400, organization="kvasir", at="2026-01-31T14:00")
    assert found["answer"] is None and [each["name"] for each in found["candidates"]] == [
        "Kvasir Labs",
        "Kvasir Ørsted",
    ]
    assert "may mean several" in str(found["form"].errors)
    query = parse_qs(urlsplit(found["candidates"][1]["url"]).query)
    assert (query["product"], query["at"]) == (["ai_studio"], ["2026-01-31T14:00"])
    chosen = ask(operator, **{name: value[0] for name, value in query.items() if name != "at"})
    assert chosen["organization"].name == "Kvasir Ørsted"
    members = ask(operator, 400, organization="labs", product="le_chat", member="dag")
    assert {each["name"] for each in members["candidates"]} == {str(named.member), "Dagny Bråten"}


def test_instants__in_the_browsers_own_field__in_the_readers_zone() -> None:
    field = InstantInput()
    assert field.format_value("2026-01-31T14:00:00Z") == "2026-01-31T14:00:00"
    assert field.format_value("2026-01-31 14:00:00.000001+02:00") == "2026-01-31T12:00:00.001"
    assert (
        field.format_value("yesterday") == "yesterday" and field.format_value("2026-13-01 00:00") == "2026-13-01 00:00"
    )
    at = dt.datetime(2026, 1, 31, 14, microsecond=999_001, tzinfo=dt.UTC)
    assert shortly_after(at) == dt.datetime(2026, 1, 31, 14, 0, 1, tzinfo=dt.UTC) == shortly_after(shortly_after(at))


def test_rows__of_history_and_ledger__lead_to_the_answer_of_their_instant(named: Cast, operator: Client) -> None:
    choices.choose(
        surface=AI_STUDIO_CONSOLE, organization=named.labs, choice="opted_out", actor=named.provider, source="admin"
    )
    event = ConsentEvent.objects.latest("pk")
    address = page_module.url_for(event)
    escaped = address.replace("&", "&amp;")
    assert escaped in operator.get(organization_url(named, "history")).content.decode()
    assert escaped in operator.get(url("consent_consentevent_change", event.pk)).content.decode()
    answer = operator.get(address).context["answer"]
    assert answer.decision.reason == "organization_opted_out" and answer.events["organization"] == event.pk
    created = ConsentEvent.objects.filter(kind="organization.created").first()
    assert created is not None and page_module.url_for(created) == ""


def test_members__of_an_organization__lead_to_their_answer(named: Cast, operator: Client) -> None:
    page = operator.get(organization_url(named, "members")).content.decode()
    address = f"{url('why')}?organization={named.labs.pk}&amp;member={named.labs_member.pk}&amp;product=le_chat"
    assert address in page
    assert operator.get(address.replace("&amp;", "&")).context["member"] == named.labs_member


def test_why__cooling_off__says_days_and_from_when_on(named: Cast, operator: Client) -> None:
    cooling_off.lengthen(product="le_chat", days=30, actor=named.provider, source="admin")
    joined = shortly_after(named.labs_member.joined_at)
    asked = {"organization": str(named.labs.pk), "member": str(named.labs_member.pk), "product": "le_chat"}
    answer = operator.get(url("why"), {**asked, "collected_at": joined.isoformat()})
    assert answer.context["answer"].decision.usable_from == joined + dt.timedelta(days=30)
    text = answer.content.decode()
    assert "<code>cooling_off</code>" in text and "Usable from" in text and ">30 days</a>" in text
    before = operator.get(url("why"), {**asked, "at": joined.isoformat()})
    assert before.context["answer"].decision.allowed and "30 days" not in before.content.decode()


# --- What if ----------------------------------------------------------------------------------------------------------


def rows(context: Any) -> dict[str, tuple[str, str]]:
    return {name: (now, then) for name, now, then in context["supposed"]["rows"]}


def test_what_if__moved_to_a_plan_that_is_out__the_opt_in_is_dropped(cast: Cast, operator: Client) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_in", actor=cast.provider, source="admin",
        reason="By letter.", version_required=False,
    )  # fmt: skip
    asked = {"organization": str(cast.labs.pk), "product": "le_chat", "member": str(cast.labs_member.pk)}
    before = everything()
    context = ask(operator, **asked, if_plan="le_chat_teams")
    told = rows(context)
    assert told["Answer"] == ("Allowed", "Not allowed") and told["Choice"] == ("Opted in", "No choice yet")
    assert "follows the default of its plan: opted out" in told["Why"][1]
    assert told["Plan"][1] == Plan.objects.get(pk="le_chat_teams").name
    assert everything() == before
    # What would be is what is, once it has been done.
    plans.subscribe(
        organization=cast.labs, plan=plans.get_plan("le_chat_teams"), actor=cast.provider, source="admin", reason="x"
    )
    assert rows(ask(operator, **asked, if_locked="no"))["Why"][0] == told["Why"][1]


@pytest.mark.parametrize(
    ("supposed", "answer", "why"),
    [
        ({"if_locked": "yes"}, "Not allowed", "is locked"),
        ({"if_locked": "no"}, "Allowed", "opted in"),
        ({"if_default": "opted_out"}, "Not allowed", "default of its plan: opted out"),
        ({"if_plan": "le_chat_student"}, "Allowed", "default of its plan: opted in"),
        ({"if_plan": "le_chat_student", "if_locked": "yes"}, "Not allowed", "is locked"),
    ],
)
def test_what_if__of_any_kind__now_and_then(
    cast: Cast, operator: Client, supposed: dict[str, str], answer: str, why: str
) -> None:
    asked = {"organization": str(cast.labs.pk), "product": "le_chat", "member": str(cast.labs_member.pk)}
    told = rows(ask(operator, **asked, **supposed))
    assert told["Answer"] == ("Allowed", answer) and why in told["Why"][1]


def test_what_if__lock_lifted__as_without(cast: Cast, operator: Client) -> None:
    locks.place_lock(
        organization=cast.labs, product="le_chat", reason="x", reference="y", actor=cast.provider, source="admin"
    )
    asked = {"organization": str(cast.labs.pk), "product": "le_chat", "member": str(cast.labs_member.pk)}
    assert rows(ask(operator, **asked, if_locked="no"))["Answer"] == ("Not allowed", "Allowed")


def test_what_if__without_a_subscription__a_default_changes_nothing(cast: Cast, operator: Client) -> None:
    bare = OrganizationFactory(actor=cast.provider)
    told = rows(ask(operator, organization=str(bare.pk), if_default="opted_in"))
    assert told["Answer"] == ("Not allowed", "Not allowed") and told["Plan"] == ("None", "None")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"if_plan": "le_chat_teams", "if_default": "opted_in"}, "can&#x27;t be opted in by default"),
        ({"if_plan": "ai_studio_scale"}, "Select a valid choice"),
        ({"if_locked": "perhaps"}, "Select a valid choice"),
    ],
)
def test_what_if__impossible__refused_beside_the_field(
    cast: Cast, operator: Client, changed: dict[str, str], says: str
) -> None:
    page = operator.get(url("why"), {"organization": str(cast.labs.pk), "product": "le_chat", **changed})
    assert page.status_code == 400 and says in page.content.decode() and page.context["supposed"] is None


def test_what_if__of_an_earlier_instant__not_offered(cast: Cast, operator: Client) -> None:
    query = {"organization": str(cast.labs.pk), "at": ledger.clock().isoformat(), "if_locked": "yes"}
    assert ask(operator, **query)["suppose_form"] is None
    question = Question(str(cast.labs.pk), "ai_studio", at=ledger.clock())
    with pytest.raises(ValueError, match="of now"):
        decisions.suppose(question, cast.provider, Supposition(locked=True))


@pytest.mark.parametrize("field", ["at", "collected_at"])
@pytest.mark.parametrize("instant", ["9999-12-31T23:59:59.999999", "0001-01-01T00:00"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Pacific/Honolulu"])
def test_why__at_the_ends_of_time__answered(cast: Cast, operator: Client, field: str, instant: str, zone: str) -> None:
    User.objects.filter(pk=cast.operator.pk).update(time_zone=zone)
    query = {"product": "ai_studio", "organization": str(cast.labs.pk), field: instant}
    assert operator.get(url("why"), query).status_code == 200
