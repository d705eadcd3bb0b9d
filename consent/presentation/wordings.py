"""The words that somebody saw, as pages show them: which an event names, and all parts of one wording."""

import dataclasses
import datetime as dt
import re

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import ConsentEvent, Wording
from ..surfaces import NOT_STATED
from ..wording_digests import NOT_KEPT

# In the order of the screen. `%(plan)s` and `%(organization)s` in a text are names.
PARTS: dict[str, str | Promise] = {
    "path": gettext_lazy("Place"),
    "label": gettext_lazy("Control"),
    "covers": gettext_lazy("What it covers"),
    "covers_one": gettext_lazy("What it covers, for one person"),
    "allow": gettext_lazy("Button to allow"),
    "stop": gettext_lazy("Button to opt out"),
    "keep_off": gettext_lazy("Button to keep it off"),
    "keep_off_one": gettext_lazy("Button to keep it off, for one person"),
    "keep_off_else": gettext_lazy("Button to keep it off, while locked or after leaving"),
    "keep_off_else_one": gettext_lazy("Button to keep it off while locked, for one person"),
    "everywhere": gettext_lazy("Button to opt out everywhere"),
    "used": gettext_lazy("State: used"),
    "used_one": gettext_lazy("State: used, for one person"),
    "not_used": gettext_lazy("State: not used"),
    "not_used_one": gettext_lazy("State: not used, for one person"),
    "default_used": gettext_lazy("Default: used"),
    "default_used_one": gettext_lazy("Default: used, for one person"),
    "default_not_used": gettext_lazy("Default: not used"),
    "default_not_used_one": gettext_lazy("Default: not used, for one person"),
    "question": gettext_lazy("Question before opting in"),
    "question_text": gettext_lazy("What the question says"),
    "question_keep_off": gettext_lazy("Its button to keep it off"),
    "question_allow": gettext_lazy("Its button to allow"),
    "saved_out": gettext_lazy("After opting out"),
    "saved_for_good": gettext_lazy("After opting out, what is said too"),
    "saved_in": gettext_lazy("After opting in"),
    "saved_in_vain": gettext_lazy("After opting in without effect"),
}


_NAME = re.compile(r"%\((\w+)\)s")  # shown as [plan]


@dataclasses.dataclass(frozen=True)
class Seen:
    """The words that an event names. `language` '': not known."""

    wording: str
    language: str
    app_version: str = ""

    @property
    def surface(self) -> str:
        return self.wording.partition("/")[0]

    @property
    def number(self) -> str:
        return self.wording.partition("/")[2]

    @property
    def stated(self) -> bool:
        return self.wording != NOT_STATED.wording

    @property
    def kept(self) -> bool:
        return self.stated and self.wording not in NOT_KEPT

    @property
    def words(self) -> str:
        """The tag, its language and the app, in words; of which words nobody said: that."""
        if not self.stated:
            return _("Which words were seen is not stated.")
        told = [self.wording, language_name(self.language)] if self.language else [self.wording]
        if self.app_version:
            told.append(_("app %(version)s") % {"version": self.app_version})
        return " · ".join(told)


def seen(event: ConsentEvent) -> Seen | None:
    """The words that the event of a choice names; None: nobody saw any, as in a job or an import."""
    return Seen(event.wording, event.language, event.app_version) if event.wording else None


def language_name(code: str) -> str:
    return str(dict(settings.LANGUAGES).get(code, code))


@dataclasses.dataclass(frozen=True)
class Told:
    """A wording in one language, with its parts in the order of the screen."""

    wording: str
    language: str
    label: str
    valid_from: dt.datetime
    sha256: str
    parts: list[tuple[str, str]]

    @property
    def language_name(self) -> str:
        return language_name(self.language)


def told(row: Wording) -> Told:
    texts = row.texts
    order = [name for name in PARTS if name in texts] + sorted(set(texts) - set(PARTS))
    parts = [(str(PARTS.get(name, name)), _NAME.sub(r"[\1]", texts[name])) for name in order]
    return Told(row.wording, row.language, texts.get("label", ""), row.valid_from, row.sha256, parts)
