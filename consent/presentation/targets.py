"""Names for the targets of access events, looked up when shown: the ledger holds ids only (R14)."""

import dataclasses
import uuid
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as conf
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import Actor
from accounts.catalogue import Product, TrainingDefault
from accounts.fields import parse_id
from accounts.models import ApiKey, Invitation, KeyScope, Member, MemberRole, Plan, User

from ..models import (
    OF_NO_LAYER,
    PLAN_KINDS,
    ConsentEvent,
    Consumer,
    EventKind,
    PausedBecause,
    RemovalBatch,
    TrainingRun,
    WebhookEndpoint,
)

_WORDS: dict[str, Any] = {
    **dict(MemberRole.choices),
    **dict(KeyScope.choices),
    **dict(PausedBecause.choices),
    **{
        field.name: field.verbose_name
        for field in (*Consumer._meta.fields, *WebhookEndpoint._meta.fields, *Plan._meta.fields)
    },
    "datasets": gettext_lazy("datasets"),
    **dict(TrainingDefault.choices),
    "totp": gettext_lazy("authenticator app"),
    "webauthn": gettext_lazy("passkey"),
    "recovery_codes": gettext_lazy("recovery codes"),
    "operator": gettext_lazy("become an operator"),
    "link": gettext_lazy("link for a password"),
    "second_factors": gettext_lazy("remove second factors"),
    "address": gettext_lazy("another address"),
    "cooling_off": gettext_lazy("shorter cooling-off"),
    "history": gettext_lazy("history"),
    "organizations": gettext_lazy("organizations"),
    "members": gettext_lazy("members"),
    "subscriptions": gettext_lazy("subscriptions"),
    "choices": gettext_lazy("choices"),
    "external_ids": gettext_lazy("external ids"),
    "state": gettext_lazy("the whole installation"),
    "backup": gettext_lazy("a backup of the database"),
    "own_choices": gettext_lazy("one's own choices"),
    "job_rows": gettext_lazy("rows of a job"),
    "job_problems": gettext_lazy("bad rows of an import"),
    "removals": gettext_lazy("what has to be removed from a training run"),
}


@dataclasses.dataclass(frozen=True)
class Names:
    """Id → name for what this viewer may know; other ids get no name of their own."""

    things: Mapping[uuid.UUID, str]
    plans: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def target(self, event: ConsentEvent) -> str:
        """The name of the event's target; '' without a target, or if the viewer may not know it."""
        if event.kind in PLAN_KINDS:
            return self.plans.get(event.target, event.target)
        if event.kind == EventKind.COOLING_OFF_CHANGED:
            return str(dict(Product.choices).get(event.target, event.target))
        pk = parse_id(event.target)
        return self.things.get(pk, "") if pk else ""

    def words(self, text: str) -> str:
        return ", ".join(self._word(part) for part in text.split(", ")) if text else ""

    def _word(self, part: str) -> str:
        pk = parse_id(part)
        return self.things.get(pk, str(capfirst(conf.PROVIDER_NAME))) if pk else str(_WORDS.get(part, part))


def labels(events: Iterable[ConsentEvent], viewer: Actor) -> Names:
    """The names for these events; a fixed number of queries, none without access events."""
    events = list(events)
    texts = [
        text
        for event in events
        if event.kind in OF_NO_LAYER
        for text in (event.target, *event.before.split(", "), *event.after.split(", "))
    ]
    ids = {pk for text in texts if (pk := parse_id(text)) is not None}
    keys = {event.target for event in events if event.kind in PLAN_KINDS}
    plans = dict(Plan.objects.filter(pk__in=keys).values_list("pk", "name")) if keys else {}
    if not ids:
        return Names({}, plans)
    things: dict[uuid.UUID, str] = {
        key.pk: _("“%(name)s”") % {"name": key} for key in ApiKey.objects.visible_to(viewer).filter(pk__in=ids)
    }
    # Only the host: the rest of the URL may contain a secret of the receiver.
    hooks = WebhookEndpoint.objects.filter(pk__in=ids)
    if not viewer.is_operator:
        hooks = hooks.filter(organization_id__in={event.organization_id for event in events})
    things |= {pk: urlsplit(url).hostname or "" for pk, url in hooks.values_list("pk", "url")}
    if viewer.is_operator:
        things |= dict(Consumer.objects.filter(pk__in=ids).values_list("pk", "name"))
    things |= dict(Invitation.objects.visible_to(viewer).filter(pk__in=ids).values_list("pk", "email"))
    if viewer.is_operator:
        things |= dict(TrainingRun.objects.filter(pk__in=ids).values_list("pk", "name"))
        numbers = RemovalBatch.objects.filter(pk__in=ids).values_list("pk", "number")
        things |= {pk: _("removal %(number)s") % {"number": number} for pk, number in numbers}
    # Customers see names of their own members only.
    people = User.objects.filter(pk__in=ids)
    if not viewer.is_operator:
        people = people.filter(pk__in=Member.objects.visible_to(viewer).values("user_id"))
    return Names(things | {person.pk: str(person) for person in people}, plans)
