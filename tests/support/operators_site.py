"""Helpers for tests of the operators' site: its URLs, and the events that an operator's change leaves."""

from django.urls import reverse

from accounts.models import Member
from consent.models import ConsentEvent, PrivacySetting
from tests.support.cast import Cast

MODELS = (
    "accounts_user",
    "accounts_organization",
    "accounts_member",
    "accounts_plan",
    "accounts_subscription",
    "accounts_apikey",
    "consent_privacysetting",
    "consent_consentevent",
    "consent_lock",
)
READ_ONLY = (
    "accounts_subscription",
    "consent_privacysetting",
    "consent_consentevent",
    "consent_lock",
)
POLICY = "default-src 'none'"


def url(name: str, *args: object) -> str:
    return reverse(f"admin:{name}", args=args)


def organization_url(cast: Cast, name: str, *args: object) -> str:
    return url(f"accounts_organization_{name}", cast.labs.pk, *args)


def events_after(last: int) -> list[ConsentEvent]:
    return list(ConsentEvent.objects.filter(pk__gt=last).order_by("pk"))


def last_event() -> int:
    return ConsentEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def by_operator(event: ConsentEvent, cast: Cast) -> bool:
    return event.source == "admin" and event.by_operator and event.actor_id == str(cast.operator.pk)


def setting(cast: Cast, product: str = "le_chat", member: Member | None = None) -> PrivacySetting:
    found: PrivacySetting = PrivacySetting.objects.get(organization=cast.labs, product=product, member=member)
    return found
