"""Receipts on pages: from the history, from the way of a choice, from the mail, from the operators' ledger."""

import re
from collections.abc import Iterator

import pytest
from django.test import Client

from accounts.access import Actor
from accounts.models import OutgoingMessage
from consent import ledger
from consent.models import ConsentEvent
from consent.projections import runner
from consent.proofs.receipt import Receipt, verify
from consent.services import choices, locks
from consent.surfaces import LE_CHAT_MOBILE
from tests.support import log
from tests.support.cast import Cast
from tests.support.console import opted_out_by_owner, signed_in, url

pytestmark = pytest.mark.django_db
KEYS = [log.SIGNER.verifier]


@pytest.fixture
def kept() -> Iterator[None]:
    with log.kept():
        yield


def _own(cast: Cast) -> int:
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=cast.labs, member=cast.labs_member, choice="opted_out",
        actor=Actor.from_user(cast.member, confirmed=True), source="data_controls",
    )  # fmt: skip
    return _logged()


def _logged() -> int:
    ledger.sequence()
    log.step()
    return ConsentEvent.objects.latest("pk").pk


def _page(number: int | str) -> str:
    return f"/receipts/{number}/"


def _text(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    return re.sub(r"\s+", " ", response.content.decode())


def test_receipt__of_an_organizations_choice__from_history_and_way_to_the_file(cast: Cast, kept: None) -> None:
    opted_out_by_owner(cast)
    number = _logged()
    owner = signed_in(cast, "owner")
    for page in (url(cast, "history"), f"/o/{cast.labs.pk}/way/{number}/"):
        assert f'href="{_page(number)}"' in _text(owner, page), page
    shown = _text(owner, _page(number))
    assert f"Receipt of event number {number}" in shown and 'href="/verify/"' in shown
    for form, kind in (("tlog-proof", "text/plain; charset=utf-8"), ("json", "application/json")):
        assert f'href="{_page(number)}{form}/"' in shown
        file = owner.get(f"{_page(number)}{form}/")
        assert file["Content-Type"] == kind
        assert file["Content-Disposition"] == f'attachment; filename="receipt-{number}.{form}"'
        assert verify(Receipt.parse(file.content), KEYS).fields["id"] == str(number)


def test_receipt__of_a_members_choice__for_the_member_alone(cast: Cast, kept: None) -> None:
    number = _own(cast)
    member = signed_in(cast, "member")
    assert f'href="{_page(number)}"' in _text(member, f"/settings/data-controls/way/{number}/")
    assert verify(Receipt.parse(member.get(f"{_page(number)}json/").content), KEYS)
    for person in ("owner", "admin", "auditor", "outsider"):
        for path in (_page(number), f"{_page(number)}json/", f"{_page(number)}tlog-proof/"):
            assert signed_in(cast, person).get(path).status_code == 404, person
    assert Client().get(_page(number))["Location"].startswith("/sign-in/")


@pytest.mark.parametrize("path", ["x/", "0/", "1/pdf/", f"{9**30}/"])
def test_receipt__of_nothing__404(cast: Cast, kept: None, path: str) -> None:
    _logged()
    assert signed_in(cast, "operator").get(f"/receipts/{path}").status_code == 404


def test_receipt__before_the_checkpoint__says_so_and_leads_back(cast: Cast, kept: None) -> None:
    opted_out_by_owner(cast)
    number = ConsentEvent.objects.latest("pk").pk
    owner = signed_in(cast, "owner")
    shown = _text(owner, _page(number))
    assert "not in a signed checkpoint yet" in shown and f'href="{_page(number)}"' in shown
    assert "tlog-proof" not in shown and owner.get(f"{_page(number)}json/").status_code == 404


def test_receipt__with_a_reference__says_that_the_reason_is_not_in_it(cast: Cast, kept: None) -> None:
    locks.place_lock(
        organization=cast.labs, product="le_chat", reason="Court order", reference="CASE-12",
        actor=Actor.from_user(cast.operator, confirmed=True), source="admin",
    )  # fmt: skip
    number = _logged()
    shown = _text(signed_in(cast, "owner"), _page(number))
    assert "The reason is not in it" in shown and "CASE-12" not in shown
    assert "The reason is not in it" not in _text(signed_in(cast, "operator"), _page(number))


def test_receipt__without_a_log__offered_nowhere(cast: Cast) -> None:
    opted_out_by_owner(cast)
    ledger.sequence()
    number = ConsentEvent.objects.latest("pk").pk
    owner = signed_in(cast, "owner")
    for page in (url(cast, "history"), f"/o/{cast.labs.pk}/way/{number}/"):
        assert "/receipts/" not in _text(owner, page) and "/verify/" not in _text(owner, page)
    assert "keeps no log" in _text(owner, _page(number), 404)


def test_mail__of_an_opt_out__leads_to_its_receipt(cast: Cast, kept: None) -> None:
    runner.follow_all()
    opted_out_by_owner(cast)
    number = _logged()
    runner.follow_all()
    mail = OutgoingMessage.objects.filter(recipient=cast.owner.email).latest("pk")
    assert f"/receipts/{number}/" in mail.body and "proves each of these choices" in mail.body


def test_ledger__of_operators__leads_to_the_receipt(cast: Cast, kept: None) -> None:
    opted_out_by_owner(cast)
    number = _logged()
    assert f'href="{_page(number)}"' in _text(
        signed_in(cast, "operator"), f"/admin/consent/consentevent/{number}/change/"
    )
