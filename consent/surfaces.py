"""The catalogue: each product's data kinds, and the places where a choice is made. A new place is one entry here."""

import dataclasses
from enum import StrEnum
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import Product


class Scope(StrEnum):
    ORGANIZATION = "organization"
    MEMBER = "member"


class Shown(NamedTuple):
    """The words that somebody saw as they chose: the wording's tag, its language, and the app's version, '' if none.

    All '': nobody chose on a screen, as in a job, an import or a command.
    """

    wording: str = ""
    language: str = ""
    app_version: str = ""


NOTHING_SHOWN = Shown()
# Somebody may have seen words, but the caller or the page doesn't say which.
NOT_STATED = Shown("not_stated")


@dataclasses.dataclass(frozen=True)
class Surface:
    key: str
    product: Product
    scope: Scope
    # Where it is on the provider's screens, from the outermost menu to the section; then the text of the control.
    path: tuple[str | Promise, ...]
    label: str | Promise
    covers: str | Promise
    # The version of the wording, stored with each choice; raise it whenever label or covers change their meaning.
    wording: str
    # On a surface for members: the sources, one of which an API key must name when it passes on a choice made here.
    sources: tuple[str, ...] = ()
    # What it covers where the organization is one person, who has nobody else's data there; '': as for a team.
    covers_one: str | Promise = ""


# Documents are input, as is whatever else people provide: every kind of a product gets the same decision (R9).
DATA_KINDS: dict[Product, tuple[str, ...]] = {
    Product.LE_CHAT: ("conversation", "document", "output", "other"),
    Product.AI_STUDIO: ("api_input", "api_output", "document", "related"),
}

LE_CHAT_CONSOLE = Surface(
    key="le_chat_console",
    product=Product.LE_CHAT,
    scope=Scope.ORGANIZATION,
    path=(_("Manage"), "Le Chat", _("Privacy")),
    label=_("Allow your interactions to be used to train our models"),
    covers=_(
        "Conversations, attached or uploaded documents, other content that people provide, and the answers: of everyone"
        " in the organization, on the web and in the apps."
    ),
    covers_one=_(
        "Your conversations, the documents you attach or upload, other content you provide, and the answers, on the web"
        " and in the apps."
    ),
    wording="le_chat_console/2",
)
LE_CHAT_MOBILE = Surface(
    key="le_chat_mobile",
    product=Product.LE_CHAT,
    scope=Scope.MEMBER,
    path=(_("Settings"), _("Account"), _("Data & Account Controls")),
    label=_("Enable data sharing"),
    covers=_(
        "Your chats, the documents you attach or upload, and other content you provide, on the web and in the apps."
    ),
    wording="le_chat_mobile/2",
    sources=("ios", "android"),
)
AI_STUDIO_CONSOLE = Surface(
    key="ai_studio_console",
    product=Product.AI_STUDIO,
    scope=Scope.ORGANIZATION,
    path=(_("Privacy"), _("Anonymous improvement data")),
    label=_("Allow API calls and related data to be used to improve our services"),
    covers=_(
        "API calls, what the models answered, attached or uploaded documents and related data of the whole"
        " organization."
    ),
    covers_one=_("Your API calls, what the models answered, the documents you attach or upload, and related data."),
    wording="ai_studio_console/1",
)

SURFACES: dict[str, Surface] = {s.key: s for s in (LE_CHAT_CONSOLE, LE_CHAT_MOBILE, AI_STUDIO_CONSOLE)}
ORGANIZATION_SURFACES = tuple(s for s in SURFACES.values() if s.scope is Scope.ORGANIZATION)
MEMBER_SURFACES = tuple(s for s in SURFACES.values() if s.scope is Scope.MEMBER)
# Products with a layer for members, so that a question about them has to name a member.
WITH_MEMBERS: frozenset[str] = frozenset(s.product.value for s in MEMBER_SURFACES)


def organization_surface(product: str) -> Surface:
    """The surface on which an organization chooses for a product."""
    return next(s for s in ORGANIZATION_SURFACES if s.product == product)


def member_surface(product: str) -> Surface | None:
    """The surface on which a member chooses for a product; None if members have no choice of their own."""
    return next((s for s in MEMBER_SURFACES if s.product == product), None)
