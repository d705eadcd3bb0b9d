"""The catalogue of events: what the payload of each kind contains, with an example of what a webhook sends.

The API (`event-kinds/`) is made from this table; docs/events.md repeats it, and a test compares the two.
Payloads of all kinds have the same fields: those of `events.serialize_event`, plus `type` and `timestamp`. What
`before`, `after` and `target` hold depends on the kind.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..models import TOLD_TO_ORGANIZATIONS, EventKind
from ..surfaces import LE_CHAT_CONSOLE

Words = str | Promise

TEST = "test"  # the `kind` of a webhook's test message, which is no event
_ORGANIZATION, _MEMBER, _PERSON, _OTHER = (f"0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e{n}" for n in ("5f", "6a", "7b", "8c"))
_AT = "2026-11-20T09:30:00Z"
_PROVIDER = {"type": "user", "id": None, "label": "The provider"}
_COMMAND = {"actor": _PROVIDER | {"type": "command"}, "source": "command", "request_id": ""}
_BY_COMMAND: dict[str, Any] = {
    "actor": {"type": "command", "id": _PERSON, "label": "Odin Eriksen"},
    "source": "command",
    "request_id": "",
}
_SYSTEM = {"actor": _PROVIDER | {"type": "system"}, "source": "command", "request_id": ""}


class Held(NamedTuple):
    """What a field of the payload holds: a description, and an example value."""

    words: Words
    value: str


def _holds(words: Words) -> Callable[[str], Held]:
    return lambda value: Held(words, value)


_STATUS, _ROLE, _PLAN = _holds(_("status of the account")), _holds(_("role")), _holds(_("key of the plan"))
_CHOICE, _LOCK = _holds(_("choice")), _holds(_("locked or not"))
_DEFAULT, _ORGANIZATION_KIND = _holds(_("default of the plan")), _holds(_("kind of organization"))
_FIELDS = _holds(_("names of the fields that changed"))
_BINDING = _holds(_("number that stands for the external id"))
_SCOPES, _FACTOR = _holds(_("scopes")), _holds(_("sort of second factor"))
_WHY, _REQUESTED, _DATA = _holds(_("why")), _holds(_("what was asked for")), _holds(_("which data"))
_KEY, _WEBHOOK = Held(_("id of the key"), _OTHER), Held(_("id of the webhook"), _OTHER)
_INVITATION, _PERSON_ID = Held(_("id of the invitation"), _OTHER), Held(_("id of the person"), _PERSON)
_OF_PLAN = Held(_("key of the plan"), "le_chat_team_plus")
_OF_PRODUCT, _DAYS = Held(_("key of the product"), "le_chat"), _holds(_("days"))
_CONSUMER, _RUN = Held(_("id of the consumer"), _OTHER), Held(_("id of the training run"), _OTHER)
_OF_RUN = _holds(_("id of the training run"))
_ENTRIES_URL = f"https://portal.example/api/v1/training-runs/{_OTHER}/removals/?batch={_OTHER}"
_RUN_AND_ENTRIES = _holds(_("id of the training run, number of entries"))
_BATCH = Held(_("id of the removal"), _OTHER)
_EPOCH, _RESTORED = Held(_("number of the epoch"), "2"), _holds(_("last position in common, last position lost"))
_POSITION = Held(_("position of the event"), "17")
_REQUEST, _JOB = Held(_("id of the person, or of the request"), _PERSON), Held(_("id of the job"), _OTHER)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One kind of event; `before`, `after` and `target` are None if they are null in its payload."""

    before: Held | None = None
    after: Held | None = None
    target: Held | None = None
    differs: dict[str, Any] = dataclasses.field(default_factory=dict)  # fields that differ from the usual example


def _organization(before: Held | None, after: Held | None, **differs: Any) -> Entry:
    return Entry(before, after, None, {"source": "api"} | differs)


def _member(before: Held | None, after: Held | None, **differs: Any) -> Entry:
    return Entry(before, after, None, {"member": _MEMBER, "allowed": True} | differs)


def _product(before: Held | None, after: Held | None, **differs: Any) -> Entry:
    return Entry(before, after, None, {"product": "le_chat", "actor": _PROVIDER, "source": "admin"} | differs)


def _choice(before: str, after: str, **differs: Any) -> Entry:
    seen = {"surface": LE_CHAT_CONSOLE.key, "wording": LE_CHAT_CONSOLE.wording, "language": "en"}
    return Entry(_CHOICE(before), _CHOICE(after), None, {"product": "le_chat"} | seen | differs)


def _access(target: Held, after: Held | None = None, **differs: Any) -> Entry:
    return Entry(None, after, target, differs)


def _person(before: Held | None = None, after: Held | None = None) -> Entry:
    return Entry(before, after, _PERSON_ID, {"organization": None, "source": "account"})


def _operators(target: Held = _PERSON_ID, after: Held | None = None, **differs: Any) -> Entry:
    return Entry(None, after, target, {"organization": None, "source": "admin"} | differs)


ENTRIES: dict[EventKind, Entry] = {
    EventKind.ORGANIZATION_CREATED: _organization(None, _ORGANIZATION_KIND("team")),
    EventKind.ORGANIZATION_UPDATED: _organization(None, _FIELDS("country, name")),
    EventKind.ORGANIZATION_KIND_CHANGED: _organization(_ORGANIZATION_KIND("personal"), _ORGANIZATION_KIND("team")),
    EventKind.ORGANIZATION_CLOSED: _product(_STATUS("active"), _STATUS("closed"), allowed=False, reason="Cancelled"),
    EventKind.ORGANIZATION_REOPENED: _product(_STATUS("closed"), _STATUS("active"), allowed=True, reason="Came back"),
    EventKind.MEMBER_JOINED: _member(None, _ROLE("member")),
    EventKind.MEMBER_UPDATED: _member(None, _FIELDS("name")),
    EventKind.MEMBER_ROLE_CHANGED: _member(_ROLE("member"), _ROLE("admin")),
    EventKind.MEMBER_LEFT: _member(_ROLE("member"), None, allowed=False),
    EventKind.SUBSCRIPTION_STARTED: _product(None, _PLAN("le_chat_free"), allowed=True),
    EventKind.SUBSCRIPTION_ENDED: _product(_PLAN("le_chat_free"), None, allowed=False, reason="Ended by the customer"),
    EventKind.PLAN_CHANGED: _product(_PLAN("le_chat_free"), _PLAN("le_chat_teams"), allowed=False, reason="Upgraded"),
    EventKind.PLAN_DEFAULT_CHANGED: _product(
        _DEFAULT("opted_in"), _DEFAULT("opted_out"), **_COMMAND, allowed=False, reason="Terms of December"
    ),
    EventKind.CHOICE_OPTED_OUT: _choice("default", "opted_out", allowed=False),
    EventKind.CHOICE_OPTED_IN: _choice("opted_out", "opted_in", allowed=True, reason="The board decided it"),
    EventKind.CHOICE_CONFIRMED: _choice("opted_out", "opted_out", allowed=False),
    EventKind.CHOICE_RESTORED: _product(
        _CHOICE("opted_out"), _CHOICE("default"), **_COMMAND, allowed=True, reason="Taken back: the wrong list"
    ),
    EventKind.LOCK_PLACED: _product(_LOCK("unlocked"), _LOCK("locked"), allowed=False, reason="Contract 7"),
    EventKind.LOCK_LIFTED: _product(_LOCK("locked"), _LOCK("unlocked"), allowed=True, reason="The contract ended"),
    EventKind.SINCE_ATTESTED: _product(None, None, allowed=True, source="import", reason="Import of November"),
    EventKind.SINCE_RESTARTED: _product(None, None, **_COMMAND, allowed=True, reason="Restored 2026-11-20"),
    EventKind.EXTERNAL_ID_GIVEN: _organization(None, _BINDING("17")),
    EventKind.EXTERNAL_ID_WITHDRAWN: _organization(_BINDING("17"), None, reason="Given by mistake"),
    EventKind.EXTERNAL_ID_REBOUND: _organization(_BINDING("17"), _BINDING("21"), reason="Two accounts merged"),
    EventKind.ACCESS_KEY_CREATED: _access(_KEY, _SCOPES("consent:read, decisions:read")),
    EventKind.ACCESS_KEY_TAKEN_OVER: _access(_KEY),
    EventKind.ACCESS_KEY_SUSPENDED: _access(_KEY),
    EventKind.ACCESS_KEY_REVOKED: _access(_KEY),
    EventKind.ACCESS_WEBHOOK_CREATED: _access(_WEBHOOK),
    EventKind.ACCESS_WEBHOOK_CHANGED: _access(_WEBHOOK, _FIELDS("kinds, url")),
    EventKind.ACCESS_WEBHOOK_PAUSED: _access(_WEBHOOK, _WHY("failing"), **_SYSTEM),
    EventKind.ACCESS_WEBHOOK_RESUMED: _access(_WEBHOOK),
    EventKind.ACCESS_WEBHOOK_SUSPENDED: _access(_WEBHOOK),
    EventKind.ACCESS_WEBHOOK_TAKEN_OVER: _access(_WEBHOOK),
    EventKind.ACCESS_WEBHOOK_REPLAYED: _access(_WEBHOOK),
    EventKind.ACCESS_WEBHOOK_SECRET_ROTATED: _access(_WEBHOOK),
    EventKind.ACCESS_WEBHOOK_DELETED: _access(_WEBHOOK),
    EventKind.ACCESS_INVITATION_SENT: _access(_INVITATION, _ROLE("member")),
    EventKind.ACCESS_INVITATION_WITHDRAWN: _access(_INVITATION),
    EventKind.ACCESS_INVITATION_ACCEPTED: _access(_INVITATION),
    EventKind.ACCESS_SECOND_FACTOR_ADDED: _person(after=_FACTOR("totp")),
    EventKind.ACCESS_SECOND_FACTOR_REMOVED: _person(before=_FACTOR("webauthn")),
    EventKind.ACCESS_PASSWORD_SET: _person(),
    EventKind.ACCESS_PASSWORD_CHANGED: _person(),
    EventKind.ACCESS_PASSWORD_RESET: _person(),
    EventKind.ACCESS_PASSWORD_LINK_SENT: _operators(),
    EventKind.ACCESS_ADDRESS_CHANGED: _person(),
    EventKind.ACCESS_ACCOUNT_CREATED: _operators(),
    EventKind.ACCESS_ACCOUNT_DEACTIVATED: _operators(),
    EventKind.ACCESS_ACCOUNT_REACTIVATED: _operators(),
    EventKind.ACCESS_ACCOUNT_ERASED: _operators(),
    EventKind.ACCESS_OPERATOR_MADE: _operators(),
    EventKind.ACCESS_OPERATOR_ENDED: _operators(),
    EventKind.ACCESS_OPERATOR_REACTIVATED: _operators(),
    EventKind.ACCESS_REQUEST_MADE: _operators(_REQUEST, _REQUESTED("operator")),
    EventKind.ACCESS_REQUEST_CONFIRMED: _operators(_REQUEST, _REQUESTED("operator")),
    EventKind.ACCESS_REQUEST_DECLINED: _operators(_REQUEST, _REQUESTED("operator")),
    EventKind.ACCESS_DATA_EXPORTED: _access(_JOB, _DATA("job_rows")),
    EventKind.ACCESS_PLAN_CREATED: _operators(_OF_PLAN, _DEFAULT("opted_out")),
    EventKind.ACCESS_PLAN_EDITED: _operators(_OF_PLAN, _FIELDS("description, name")),
    EventKind.COOLING_OFF_CHANGED: Entry(
        _DAYS("0"), _DAYS("30"), _OF_PRODUCT, {"organization": None, "source": "admin"}
    ),
    EventKind.CONSUMER_REGISTERED: _operators(_CONSUMER),
    EventKind.CONSUMER_CHANGED: _operators(_CONSUMER, _FIELDS("contact, name")),
    EventKind.CONSUMER_REMOVED: _operators(_CONSUMER),
    EventKind.RUN_REGISTERED: _operators(_RUN, source="api"),
    EventKind.RUN_RETIRED: _operators(_RUN),
    EventKind.REMOVAL_ISSUED: _operators(_BATCH, _RUN_AND_ENTRIES(f"{_OTHER}, 3"), url=_ENTRIES_URL, **_SYSTEM),
    EventKind.REMOVAL_ACKNOWLEDGED: _operators(_BATCH, _OF_RUN(_OTHER), source="api"),
    EventKind.RESTORE_ADOPTED: _operators(_EPOCH, _RESTORED("35, 41"), **_BY_COMMAND, reason="Disk failed"),
    EventKind.RESTORE_WITNESS_REBUILT: _operators(_EPOCH, **_BY_COMMAND, reason="Disk of the witness failed"),
    EventKind.POSITION_LOST: Entry(
        _holds(_("ids of the organization and the member"))(_ORGANIZATION),
        _holds(_("kind of the event"))("choice.opted_out"),
        Held(_("the position"), "41"),
        {"organization": None, **_BY_COMMAND, "reason": "Restored 2026-11-20"},
    ),
    EventKind.LOG_SALT_ERASED: _operators(_POSITION, **_BY_COMMAND, reason="Asked for by the person"),
}


def example(kind: EventKind) -> dict[str, Any]:
    """An example of the payload that a webhook sends for this kind; every kind has the same fields."""
    entry = ENTRIES[kind]
    usual: dict[str, Any] = {
        "type": str(kind), "timestamp": _AT, "id": "42", "position": 41, "epoch": 1, "recorded_at": _AT,
        "kind": str(kind), "organization": _ORGANIZATION, "member": None, "product": None, "surface": None,
        "before": None, "after": None, "target": None, "url": None, "allowed": None,
        "actor": {"type": "user", "id": _PERSON, "label": "Ada Lindqvist"},
        "source": "console", "reason": "", "request_id": "0190b5d27c1e7a409f3e5a1c2b3d4e5f",
        "wording": None, "language": None, "app_version": None,
    }  # fmt: skip
    held = {name: getattr(entry, name) for name in ("before", "after", "target")}
    return usual | {name: each.value for name, each in held.items() if each is not None} | entry.differs


def catalogue() -> list[dict[str, Any]]:
    """All kinds of events, in the order of ENTRIES.

    Each has `kind`, `label`, `before`, `after`, `target` (a description or None), `operators_only` (organizations are
    not told of it) and `example`.
    """
    return [
        {
            "kind": str(kind),
            "label": str(kind.label),
            **{name: str(held.words) if (held := getattr(entry, name)) else None
               for name in ("before", "after", "target")},
            "operators_only": kind not in TOLD_TO_ORGANIZATIONS,
            "example": example(kind),
        }
        for kind, entry in ENTRIES.items()
    ]  # fmt: skip
