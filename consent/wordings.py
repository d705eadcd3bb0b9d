"""The words that people see as they choose: which wording, in which language."""

from django.conf import settings
from django.utils.translation import get_language

from .surfaces import NOT_STATED, SURFACES, Shown, Surface


def on_screen(surface: Surface) -> str:
    """What a form says in its field `shown`: the surface's wording, and the language in which this page shows it."""
    return f"{surface.wording} {get_language() or settings.LANGUAGE_CODE}"


def stated(text: str) -> Shown:
    """What the field `shown` of a form says. NOT_STATED for anything else: an opt-out must not fail for it."""
    wording, _space, language = text.partition(" ")
    known = {surface.wording for surface in SURFACES.values()}
    return Shown(wording, language) if wording in known and language in dict(settings.LANGUAGES) else NOT_STATED
