"""The words that somebody saw in another program, an app for example, as it says with their choice."""

from collections.abc import Mapping

from django.utils.translation import gettext as _

from .. import wordings
from ..errors import Invalid
from ..models import ConsentEvent
from ..surfaces import NOT_STATED, Shown, Surface
from . import layers

APP_VERSION = ConsentEvent._meta.get_field("app_version").max_length or 0


def shown_by_caller(surface: Surface, said: Mapping[str, str] | None) -> Shown:
    """What the caller says (`wording`, `language`, and `app_version` if there is an app); None: NOT_STATED.

    Raises Invalid for words that are kept nowhere, or are another surface's: nobody could show them later.
    """
    if said is None:
        return NOT_STATED
    wording, language = said["wording"], said["language"]
    app_version = layers.clean_text(said.get("app_version", ""), "shown/app_version", length=APP_VERSION)
    known = wordings.languages_of(wording, surface)
    if not known:
        text = _("This surface has no wording “%(wording)s”. GET surfaces/ gives the current ones.")
        raise Invalid("unknown_wording", text % {"wording": wording[:40]}, "shown/wording")
    if language not in known:
        text = _("This wording has no words in “%(language)s”, but in: %(known)s.")
        raise Invalid(
            "unknown_language", text % {"language": language[:16], "known": ", ".join(known)}, "shown/language"
        )
    return Shown(wording, language, app_version)
