"""choose() with the arguments that most of its tests share, and everybody who might call it."""

from typing import Any

from accounts.access import Actor
from accounts.models import OPERATOR_SCOPES, KeyScope, Organization
from consent.models import PrivacySetting
from consent.services import choices, locks, organizations, plans
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.factories import UserFactory
from tests.support.keys import issue_key

IN, OUT = "opted_in", "opted_out"


def key(scope: str, organization: Organization | None = None) -> Actor:
    return Actor.from_key(issue_key("A service", [scope], organization=organization)[0])


def choose(cast: Cast, choice: str, actor: Actor, **changes: Any) -> PrivacySetting:
    wanted: dict[str, Any] = {"surface": LE_CHAT_CONSOLE, "organization": cast.labs, "source": "console"} | changes
    wanted.setdefault("version_required", False)
    return choices.choose(choice=choice, actor=actor, **wanted)


def choose_own(cast: Cast, choice: str, actor: Actor, **changes: Any) -> PrivacySetting:
    wanted: dict[str, Any] = {
        "surface": LE_CHAT_MOBILE,
        "organization": cast.labs,
        "member": cast.labs_member,
        "source": "data_controls",
        "version_required": False,
    } | changes
    return choices.choose(choice=choice, actor=actor, **wanted)


def opt_out_as_member(cast: Cast) -> PrivacySetting:
    return choose_own(cast, OUT, Actor.from_user(cast.member, confirmed=True))


def actors(cast: Cast) -> dict[str, Actor]:
    people = {
        name: Actor.from_user(getattr(cast, name), confirmed=True)
        for name in ("owner", "admin", "auditor", "member", "outsider", "operator")
    }
    blocked = UserFactory(email="gone@provider.example", name="Gone", operator=True, is_active=False)
    return (
        people
        | {
            "operator's command": Actor.from_command(cast.operator),
            "blocked operator": Actor.from_user(blocked, confirmed=True),
        }
        | {f"operator key {scope}": key(scope) for scope in KeyScope.values}
        | {f"labs key {scope}": key(scope, cast.labs) for scope in KeyScope.values if scope not in OPERATOR_SCOPES}
        | {"brage key consent:write": key("consent:write", cast.brage)}
    )


# What stands against opting in on Le Chat, for the organization and for its members.
OBSTACLES = ["no_subscription", "locked", "organization_closed"]


def put_in_the_way(cast: Cast, obstacle: str) -> None:
    """Bring Labs into the state that one of OBSTACLES names."""
    of_labs = {"organization": cast.labs, "actor": cast.provider, "source": "admin"}
    match obstacle:
        case "no_subscription":
            plans.end_subscription(**of_labs, product="le_chat")
        case "locked":
            locks.place_lock(**of_labs, product="le_chat", reason="Contract", reference="C-1")
        case "organization_closed":
            organizations.close_organization(**of_labs, reason="Over")
