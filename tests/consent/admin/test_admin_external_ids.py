"""The operators' pages of external ids: what they have meant, withdrawing one, and questions by them (R16)."""

import datetime as dt

import pytest
from django.test import Client

from accounts.models import Binding, Organization
from consent import ledger
from consent.models import ConsentEvent
from consent.services import members, organizations
from tests.support.cast import Cast
from tests.support.ledger_guards import everything
from tests.support.operators_site import by_operator, events_after, last_event, url

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ids_of_before(cast: Cast) -> None:
    by = {"actor": cast.provider, "source": "api"}
    for external_id in ("labs-1", "labs-2"):
        organizations.update_organization(organization=cast.labs, external_id=external_id, **by)
        members.update_member(member=cast.labs_member, external_id=f"dag-{external_id[-1]}", **by)


@pytest.fixture
def operator(cast: Cast, client: Client) -> Client:
    client.force_login(cast.operator)
    return client


def address(cast: Cast, of: str, name: str) -> str:
    subject = cast.labs if of == "organization" else cast.labs_member
    return url(f"accounts_{of}_{name}", subject.pk)


CASES = [("organization", "labs-1", "labs-2"), ("member", "dag-1", "dag-2")]


@pytest.mark.parametrize(("of", "older", "shown"), CASES)
def test_page__of_several_ids__lists_them_all_those_withdrawn_too(
    of: str, older: str, shown: str, cast: Cast, operator: Client
) -> None:
    sent = {"external_id": older, "reason": "A mistake"}
    assert operator.post(address(cast, of, "withdraw_id"), sent).status_code == 302
    response = operator.get(address(cast, of, "change"))
    bindings = [(each.value, each.withdrawn_at is None) for each in response.context["bindings"]]
    assert bindings == [(shown, True), (older, False)]
    text = response.content.decode()
    assert f"<code>{older}</code>" in text and f"<code>{shown}</code>" in text
    assert response.context["withdraw_form"].fields["external_id"].choices == [(shown, shown)]


@pytest.mark.parametrize(("of", "older", "shown"), CASES)
def test_withdraw__with_a_reason__means_nobody_by_one_event(
    of: str, older: str, shown: str, cast: Cast, operator: Client
) -> None:
    last, given = last_event(), Binding.objects.get(value=shown)
    sent = {"external_id": shown, "reason": "Given to the wrong one"}
    assert operator.post(address(cast, of, "withdraw_id"), sent).status_code == 302
    (event,) = events_after(last)
    assert (event.kind, event.reason, event.before) == (
        "external_id.withdrawn", "Given to the wrong one", str(given.pk),
    )  # fmt: skip
    assert by_operator(event, cast)
    assert Binding.objects.live().filter(value__in=[older, shown]).get().value == older


@pytest.mark.parametrize(("of", "older", "shown"), CASES)
@pytest.mark.parametrize(
    ("changed", "status"),
    [({"reason": ""}, 400), ({"reason": " "}, 400), ({"external_id": "other"}, 400), ({"external_id": ""}, 400)],
)
def test_withdraw__without_a_reason_or_of_anothers__refused_and_unchanged(
    changed: dict[str, str], status: int, of: str, older: str, shown: str, cast: Cast, operator: Client
) -> None:
    before = everything()
    response = operator.post(address(cast, of, "withdraw_id"), {"external_id": shown, "reason": "R", **changed})
    assert response.status_code == status
    assert response.context["withdraw_form"].errors
    assert everything() == before


@pytest.mark.parametrize(("of", "older", "shown"), CASES)
def test_withdraw__by_get_or_by_others__refused_and_unchanged(
    of: str, older: str, shown: str, cast: Cast, operator: Client
) -> None:
    others = [Client() for _ in range(5)]
    for person, other in zip(("owner", "admin", "auditor", "member", "outsider"), others, strict=True):
        other.force_login(getattr(cast, person))
    before = everything()
    assert operator.get(address(cast, of, "withdraw_id")).status_code == 405
    for other in others:
        sent = {"external_id": shown, "reason": "R"}
        assert other.post(address(cast, of, "withdraw_id"), sent).status_code == 403
    assert everything() == before


def test_why__asked_by_external_ids__the_layer_now_and_as_of_then(cast: Cast, operator: Client) -> None:
    asked = {"organization": "external:labs-2", "member": "external:dag-2", "product": "le_chat"}
    layer = operator.get(url("why"), asked).context["layers"][-1]
    given = ConsentEvent.objects.get(member=cast.labs_member, after=str(Binding.objects.get(value="dag-2").pk))
    assert (layer["code"], layer["event"], layer["since"]) == ("external_id", given.pk, given.recorded_at)
    assert str(layer["name"]) == "External id"
    before, at = Binding.objects.get(value="dag-1"), ledger.clock()
    organizations.update_organization(organization=cast.labs, external_id=None, actor=cast.provider, source="api")
    assert operator.get(url("why"), asked).context["answer"].decision.reason == "unknown_organization"
    then = operator.get(url("why"), {**asked, "at": at.isoformat()})
    assert then.context["layers"][-1]["code"] == "external_id"
    earlier = {**asked, "organization": "external:labs-1", "member": "external:dag-1", "at": at.isoformat()}
    collected = before.since - dt.timedelta(microseconds=1)
    answer = operator.get(url("why"), {**earlier, "collected_at": collected.isoformat()})
    assert answer.context["answer"].decision.reason == "collected_before_allowed"
    assert answer.context["layers"][-1]["since"] == before.since


def test_page__of_an_organization_without_ids__has_no_list(cast: Cast, operator: Client) -> None:
    brage = Organization.objects.get(pk=cast.brage.pk)
    response = operator.get(url("accounts_organization_change", brage.pk))
    assert response.context["bindings"] == []
    assert b"withdraw" not in response.content
