"""The enums of the API, each with the name that it has in generated clients.

A field only lists its values; `name_of` finds the vocabulary with exactly these values, so that each enum is described
once.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from django.db.models import TextChoices

from accounts.catalogue import Product
from accounts.models import KeyScope, Member, Organization

from .. import rules
from ..models import (
    ActorType,
    Choice,
    EndpointStatus,
    EventKind,
    ImportTable,
    JobKind,
    JobStatus,
    PausedBecause,
    ReasonCode,
    RemovalState,
    Source,
)
from ..pipeline.manifest import TABLES
from ..services.filter_reports import REASONS as RECORD_REASONS
from ..services.removal_entries import Level
from ..surfaces import DATA_KINDS, MEMBER_SURFACES, ORGANIZATION_SURFACES, SURFACES, Scope

# The two values that a choice, a plan's default or an effective setting can have.
CONSENT = (rules.Choice.OPTED_IN.value, rules.Choice.OPTED_OUT.value)
APP_SOURCES = sorted({source for surface in MEMBER_SURFACES for source in surface.sources})
# Prefixes of kinds of events, like "access.*".
KIND_FAMILIES = sorted({f"{kind.partition('.')[0]}.*" for kind in EventKind.values})
LAYERS = ("organization", "member", "external_id")
LEVELS = tuple(level.value for level in Level)
KEY_STATUSES = ("active", "suspended", "expired", "revoked")
ASKERS = ("key", "provider", "people")
SEMANTICS = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """One enum. `words` explains the values whose names need it."""

    name: str
    about: str
    values: tuple[str, ...]
    words: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def schema(self) -> dict[str, Any]:
        meanings = "".join(f"\n* `{value}`: {self.words[value]}" for value in self.values if value in self.words)
        about = f"{self.about}\n{meanings}" if meanings else self.about
        return {"type": "string", "enum": list(self.values), "description": about}


def _labelled(name: str, about: str, choices: type[TextChoices]) -> Vocabulary:
    return Vocabulary(name, about, tuple(choices.values), {value: str(label) for value, label in choices.choices})


def _of(name: str, about: str, values: Iterable[str], **words: str) -> Vocabulary:
    return Vocabulary(name, about, tuple(values), words)


def vocabularies() -> list[Vocabulary]:
    """All vocabularies; labels are in the active language."""
    return [
        _labelled("Product", "A product whose data may train models.", Product),
        _of("DataKind", "A kind of data that a product holds.", sorted({k for kinds in DATA_KINDS.values() for k in kinds})),
        _of("Surface", "Where a choice is made: a control on a screen.", SURFACES,
            **{key: str(surface.label) for key, surface in SURFACES.items()}),
        _of("OrganizationSurface", "Where an organization's choice is made.", [each.key for each in ORGANIZATION_SURFACES]),
        _of("SurfaceScope", "Whose choice is made on a surface.", [scope.value for scope in Scope]),
        _of("Consent", "Whether data may be used to train models.", CONSENT,
            opted_in="It may.", opted_out="It may not."),
        _labelled("Choice", "What was chosen; `default` until somebody chooses.", Choice),
        _labelled("SettingReason", "Why a setting is in effect as it is.", ReasonCode),
        _of("Reason", "Why a decision, or one of its layers, is as it is. `plan_default` both allows and denies.",
            [reason.value for reason in rules.Reason], **_REASONS),
        _of("RecordReason", "Why a record of training data is not used.", RECORD_REASONS, **_REASONS,
            unreadable_row="The row is in no form of a record."),
        _of("Layer", "Who has a say in a decision.", LAYERS, external_id="The external id that the question named."),
        _labelled("OrganizationKind", "A team, or one person.", Organization.Kind),
        _labelled("OrganizationStatus", "Whether the account is open.", Organization.Status),
        _labelled("Role", "What a member may do in their organization.", Member.Role),
        _labelled("MemberStatus", "Whether the member still belongs to the organization.", Member.Status),
        _labelled("EventKind", "What happened. New kinds may be added.", EventKind),
        _of("EventKindFamily", "All kinds of events that begin so.", KIND_FAMILIES),
        _labelled("ActorType", "What kind of actor did it.", ActorType),
        _labelled("Source", "Where it was done.", Source),
        _of("AppSource", "The app in which the member made the choice.", APP_SOURCES, ios="iOS app", android="Android app"),
        _labelled("JobKind", "What a bulk job changes.", JobKind),
        _labelled("JobStatus", "How far a bulk job is.", JobStatus),
        _labelled("ImportTable", "What an import fills.", ImportTable),
        _of("SnapshotTable", "A table of a snapshot.", TABLES, organizations="A row for each organization.",
            members="A row for each member, former ones too.", external_ids="A row for each external id that means somebody."),
        _labelled("WebhookStatus", "Whether a webhook is sent events.", EndpointStatus),
        _labelled("WebhookPausedBecause", "Why a webhook is paused.", PausedBecause),
        _of("RemovalLevel", "What sort of key an entry of a removal is about.", LEVELS),
        _labelled("RemovalState", "How a removal stands.", RemovalState),
        _labelled("Scope", "What an API key may be used for.", KeyScope),
        _of("ApiKeyStatus", "Whether an API key can be used.", KEY_STATUSES,
            active="It can.", suspended="Not until somebody takes it over: who answered for it no longer may.",
            expired="Not any more: its time is over.", revoked="Never again."),
        _of("Asker", "Who asked.", ASKERS, key="An API key that you may know.", provider="The provider's systems.",
            people="Somebody who is signed in."),
        _of("EvaluationsSemantic", "How far a list of evaluations is answered.", SEMANTICS,
            execute_all="All are answered.", deny_on_first_deny="Up to the first denial.",
            permit_on_first_permit="Up to the first permission."),
    ]  # fmt: skip


_REASONS = {
    "unknown_organization": "There is no such organization, or it is not yours to ask about.",
    "restored": "The database is, or may be, older than what was stored last, as after a backup was restored: nothing is allowed until an operator has settled that.",
    "unknown_product": "There is no such product.",
    "unknown_data_kind": "The product holds no such kind of data.",
    "collected_at_missing": "Of filtered records alone: it is not known when the record was collected.",
    "not_yet_known": "Nothing is known about the instant that the question is about: it is in the future, or before the organization was known.",
    "member_required": "The product asks its members, and the question names none.",
    "unknown_member": "The organization has no such member.",
    "organization_closed": "The account is closed.",
    "no_subscription": "The organization has no subscription of the product.",
    "locked": "An operator has locked training off.",
    "organization_opted_out": "The organization opted out.",
    "plan_default": "The organization has made no choice; its plan's default holds.",
    "carried_over": "Opted out by the default of an earlier plan, which holds until somebody chooses.",
    "member_private": "Allowed by the organization; what the member chose is not told to it.",
    "member_opted_out": "The member opted out.",
    "member_left": "The member has left the organization.",
    "collected_before_allowed": "The data was collected before its use was allowed.",
    "cooling_off": "Its use is allowed, but the data is not old enough yet for what the product's cooling-off says.",
    "organization_opted_in": "The organization opted in.",
    "default": "Of a layer alone: the member has made no choice of their own.",
    "member_opted_in": "Of a layer alone: the member opted in.",
    "external_id": "Of a layer alone: since when the external id that was asked by has meant this organization or member.",
}


def name_of(values: Iterable[str]) -> str | None:
    """The name of the vocabulary with these values, None where there is none."""
    wanted = set(values)
    return next((each.name for each in vocabularies() if set(each.values) == wanted), None)


def components() -> dict[str, dict[str, Any]]:
    """Name of each vocabulary → its OpenAPI schema."""
    return {each.name: each.schema for each in vocabularies()}
