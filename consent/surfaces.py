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


Text = str | Promise


@dataclasses.dataclass(frozen=True)
class Words:
    """What a surface says beside its label: its buttons, the state, the question before an opt-in, the confirmations.

    `_one`: where the organization is one person; '': as for a team. `%(plan)s` and `%(organization)s` are names.
    """

    used: Text
    not_used: Text
    default_used: Text
    default_not_used: Text
    question_text: Text
    saved_out: Text
    saved_in: Text
    keep_off: Text
    keep_off_else: Text
    allow: Text
    stop: Text
    question: Text
    question_keep_off: Text
    question_allow: Text
    saved_for_good: Text
    saved_in_vain: Text
    used_one: Text = ""
    not_used_one: Text = ""
    default_used_one: Text = ""
    default_not_used_one: Text = ""
    keep_off_one: Text = ""
    keep_off_else_one: Text = ""
    everywhere: Text = ""

    def said(self, part: str, *, one: bool) -> str:
        """A part's text; `one`: as it is where the organization is one person."""
        text: Text = (getattr(self, f"{part}_one", "") if one else "") or getattr(self, part)
        return str(text)


@dataclasses.dataclass(frozen=True)
class Surface:
    key: str
    product: Product
    scope: Scope
    # Where it is on the provider's screens, from the outermost menu to the section; then the text of the control.
    path: tuple[Text, ...]
    label: Text
    covers: Text
    # The tag of all words of the surface, stored with each choice: KEY/NUMBER. Whenever one of them changes, in any
    # language, raise the number, and add its digests to `wording_digests`.
    wording: str
    words: Words
    # On a surface for members: the sources, one of which an API key must name when it passes on a choice made here.
    sources: tuple[str, ...] = ()
    # What it covers where the organization is one person, who has nobody else's data there; '': as for a team.
    covers_one: Text = ""

    def texts(self) -> dict[str, str]:
        """Part → text: all that the surface says, in the active language, in the order of the screen."""
        words = {name: text for name in WORDS if (text := getattr(self.words, name))}
        own = {"path": " › ".join(map(str, self.path)), "label": self.label, "covers": self.covers}
        one = {"covers_one": self.covers_one} if self.covers_one else {}
        return {name: str(text) for name, text in (own | one | words).items()}


# The parts of `Words` in the order of the screen: control, state, question, confirmation.
WORDS = (
    "allow", "stop", "keep_off", "keep_off_one", "keep_off_else", "keep_off_else_one", "everywhere",
    "used", "used_one", "not_used", "not_used_one",
    "default_used", "default_used_one", "default_not_used", "default_not_used_one",
    "question", "question_text", "question_keep_off", "question_allow",
    "saved_out", "saved_for_good", "saved_in", "saved_in_vain",
)  # fmt: skip
_LE_CHAT = Words(
    used=_("Used for training"),
    not_used=_("Not used for training"),
    default_used=_("Following the default of %(plan)s: used for training."),
    default_not_used=_("Following the default of %(plan)s: not used for training."),
    question_text=_(
        "What comes in from now on may be used to train our models; earlier data is not. You can turn this off at any"
        " time."
    ),
    saved_out=_("Saved. From now on this data is not used for training."),
    saved_in=_("Saved. What comes in from now on may be used to train our models; earlier data is not."),
    keep_off=_("Keep it off"),
    keep_off_else=_("Opt out for good as well"),
    allow=_("Allow training …"),
    stop=_("Stop using this data for training"),
    question=_("Allow training on this data?"),
    question_keep_off=_("Keep off"),
    question_allow=_("Allow training"),
    saved_for_good=_("Nothing collected until now or while this is off will be used, even if you turn it on again."),
    saved_in_vain=_("Saved. As things stand this data is still not used for training."),
)
_OWN = dataclasses.replace(
    _LE_CHAT,
    used=_("Your data may be used for training"),
    not_used=_("Your data is not used for training"),
    used_one=_LE_CHAT.used,
    not_used_one=_LE_CHAT.not_used,
    default_used=_("Your data may be used for training, as %(organization)s allows. You have not chosen yet."),
    default_used_one=_LE_CHAT.default_used,
    default_not_used=_("%(plan)s, the plan of %(organization)s, is opted out by default, so your data is not used."),
    default_not_used_one=_LE_CHAT.default_not_used,
    keep_off=_("Keep my data out even if that changes"),
    keep_off_one=_LE_CHAT.keep_off,
    keep_off_else=_("Opt out for good"),
    keep_off_else_one=_LE_CHAT.keep_off_else,
    everywhere=_("Opt out everywhere"),
)
_AI_STUDIO = dataclasses.replace(
    _LE_CHAT,
    used=_("Used to train our models or improve our services"),
    not_used=_("Not used to train our models or improve our services"),
    default_used=_("Following the default of %(plan)s: used to train our models or improve our services."),
    default_not_used=_("Following the default of %(plan)s: not used to train our models or improve our services."),
    question_text=_(
        "What comes in from now on may be used to train our models or improve our services; earlier data is not. You"
        " can turn this off at any time."
    ),
    saved_out=_("Saved. From now on this data is not used to train our models or improve our services."),
    saved_in=_(
        "Saved. What comes in from now on may be used to train our models or improve our services; earlier data is not."
    ),
)

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
    wording="le_chat_console/3",
    words=_LE_CHAT,
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
    wording="le_chat_mobile/3",
    words=_OWN,
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
    wording="ai_studio_console/2",
    words=_AI_STUDIO,
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
