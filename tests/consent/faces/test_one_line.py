"""One-line texts refuse every kind of line break, and name it, everywhere; unsent messages are shown to operators."""

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from accounts.access import Actor
from accounts.fields import line_break_in
from accounts.models import Organization, OutgoingMessage, User
from consent.errors import Invalid
from consent.models import ConsentEvent, WebhookEndpoint
from consent.projections import owner_emails
from consent.projections.turns import Turns
from consent.services import choices, credentials, layers, locks, members, organizations, webhooks
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.cast import Cast
from tests.support.factories import ActorFactory, OutgoingMessageFactory
from tests.support.imports import importer
from tests.support.ledger_guards import refusal

BREAKS = {
    "LF": "\n", "CR": "\r", "CRLF": "\r\n", "VT": "\v", "FF": "\f", "NEL": "\x85", "LS": "\u2028", "PS": "\u2029",
    "FS": "\x1c", "GS": "\x1d", "RS": "\x1e",
}  # fmt: skip


@pytest.mark.parametrize("kind", BREAKS)
def test_clean_text__any_line_break__refused_by_name(kind: str) -> None:
    assert len(f"a{BREAKS[kind]}b".splitlines()) == 2, "what Python takes for a new line"
    with pytest.raises(Invalid) as caught:
        layers.clean_text(f"Acme{BREAKS[kind]}Inc", "name")
    assert (caught.value.code, caught.value.field) == ("line_break", "name")
    assert f"U+{ord(BREAKS[kind][0]):04X}" in str(caught.value)
    assert layers.clean_text(f" Acme Inc{BREAKS[kind]}", "name") == "Acme Inc"  # around it is no part of it


WRITES: dict[str, Any] = {
    "organization": lambda cast, text, by: organizations.create_organization(
        draft=organizations.OrganizationDraft(name=text), **by
    ),
    "organization's name": lambda cast, text, by: organizations.update_organization(
        organization=cast.labs, name=text, **by
    ),
    "owner's name": lambda cast, text, by: organizations.create_organization(
        draft=organizations.OrganizationDraft(name="Mine", kind="personal", owner=("x@x.example", text)), **by
    ),
    "member's name": lambda cast, text, by: members.add_member(
        organization=cast.labs, email="x@x.example", name=text, **by
    ),
    "reason of a choice": lambda cast, text, by: choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", reason=text, **by
    ),
    "reason of a lock": lambda cast, text, by: locks.place_lock(
        organization=cast.labs, product="le_chat", reason=text, reference="L-1", **by
    ),
    "reference of a lock": lambda cast, text, by: locks.place_lock(
        organization=cast.labs, product="le_chat", reason="law", reference=text, **by
    ),
}


@pytest.mark.parametrize("kind", ["LF", "CR", "NEL", "LS"])
@pytest.mark.parametrize("what", WRITES)
def test_write__text_with_a_line_break__refused(cast: Cast, what: str, kind: str) -> None:
    with refusal(Invalid):
        WRITES[what](cast, f"one{BREAKS[kind]}two", {"actor": cast.provider, "source": "admin"})


@pytest.mark.parametrize("kind", BREAKS)
def test_webhook__description_with_a_line_break__refused(cast: Cast, kind: str) -> None:
    with pytest.raises(Invalid) as caught:
        webhooks.create_endpoint(
            organization=cast.labs,
            url="https://hooks.example.org/",
            description=f"one{BREAKS[kind]}two",
            actor=Actor.from_user(cast.operator, confirmed=True),
            source="admin",
        )
    assert (caught.value.code, WebhookEndpoint.objects.exists()) == ("line_break", False)


@pytest.mark.parametrize("kind", BREAKS)
def test_key_and_person__name_with_a_line_break__refused(cast: Cast, kind: str) -> None:
    with refusal(Invalid, "line_break", "name"):
        credentials.issue_key(
            name=f"one{BREAKS[kind]}two",
            scopes=["decisions:read"],
            actor=Actor.from_command(cast.operator),
            source="command",
        )
    person = User(email="x@x.example", name=f"one{BREAKS[kind]}two")
    with pytest.raises(ValidationError) as caught:
        person.full_clean()
    assert "name" in caught.value.message_dict


@pytest.mark.parametrize("kind", ["LF", "LS", "NEL"])
def test_import__name_with_a_line_break__bad_row(db: None, tmp_path: Path, kind: str) -> None:
    ActorFactory(of_commands=True)
    text = f'name,external_id\n"Ac{BREAKS[kind]}me",acme\nSaga,saga\n'
    result = importer("import_organizations", tmp_path)(text, "--plan", "le_chat_free")
    assert result.code == 1 and "one line" in result.json["bad_rows"][0]
    assert not Organization.objects.exists()


def test_notice__stored_name_with_a_line_break__owners_are_told(cast: Cast) -> None:
    Organization.objects.filter(pk=cast.brage.pk).update(name="Brage\nSkaldskap")
    OutgoingMessage.objects.all().delete()
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.brage, choice="opted_in", reason="asked", actor=cast.provider,
        source="admin", version_required=False,
    )  # fmt: skip
    events = [ConsentEvent.objects.latest("pk")]
    owner_emails.notify_owners(events, Turns(events))
    (message,) = OutgoingMessage.objects.all()
    assert message.subject.startswith("Brage Skaldskap: ") and line_break_in(message.subject) == ""


def test_overview__messages_given_up__counted_and_named(cast: Cast, client: Client) -> None:
    client.force_login(cast.operator)
    assert "given up" not in client.get("/admin/").content.decode()
    OutgoingMessageFactory(
        recipient="ada@kvasir.example", subject="Data is used", body="b", given_up_at=timezone.now(), error="SMTPError"
    )
    page = client.get("/admin/").content.decode()
    assert "1 e-mail could not be sent and was given up." in page
    assert "ada@kvasir.example" in page and "SMTPError" in page and "Data is used" in page
    client.force_login(cast.owner)
    assert client.get("/admin/").status_code == 403
