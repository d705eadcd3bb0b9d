"""Helpers for tests of the console: people who are signed in, URLs, and the ledger's content."""

from django.test import Client
from django.urls import reverse

from accounts.access import Actor
from consent.models import ConsentEvent, PrivacySetting
from consent.services import choices
from consent.surfaces import LE_CHAT_CONSOLE, Surface
from tests.support.cast import Cast

CONTROLS = "/settings/data-controls/"


def signed_in(cast: Cast, role: str) -> Client:
    client = Client()
    client.force_login(getattr(cast, role))
    return client


def url(cast: Cast, name: str) -> str:
    return reverse(f"console:{name}", args=[cast.labs.pk])


def events() -> int:
    return ConsentEvent.objects.count()


def version(cast: Cast, product: str = "le_chat") -> int:
    found = PrivacySetting.objects.of_organizations().get(organization=cast.labs, product=product)
    return int(found.version)


def choice_of(cast: Cast, product: str = "le_chat") -> str:
    return str(PrivacySetting.objects.of_organizations().get(organization=cast.labs, product=product).choice)


def opt_in(cast: Cast, product: str = "le_chat", **changes: object) -> dict[str, object]:
    return {"choice": "opted_in", "confirmed": "yes", "version": version(cast, product), **changes}


def opted_out_by_owner(cast: Cast, surface: Surface = LE_CHAT_CONSOLE) -> None:
    choices.choose(
        surface=surface,
        organization=cast.labs,
        choice="opted_out",
        actor=Actor.from_user(cast.owner, confirmed=True),
        source="console",
    )


def in_words(product: str, *, allowed: bool) -> str:
    """What a page says is in effect for an organization's data of this product."""
    use = "to train our models or improve our services" if product == "ai_studio" else "for training"
    return f"Used {use}" if allowed else f"Not used {use}"
