"""The words that people see as they choose: which wording, in which language, and how each is kept for good."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.management import CommandError
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils.translation import get_language, override

from . import ledger
from .models import Wording
from .models.wordings import canonical, digest
from .surfaces import NOT_STATED, SURFACES, Shown, Surface


class WordsChanged(Exception):
    """A text is another than the one that is kept under its tag: it needs a new tag."""


def languages() -> list[str]:
    return [code for code, _name in settings.LANGUAGES]


def content_of(surface: Surface, language: str) -> str:
    """The canonical content of what the surface says now in this language."""
    with override(language):
        return canonical(surface.wording, language, surface.texts())


def sync(surfaces: Iterable[Surface] = SURFACES.values()) -> list[Wording]:
    """Keep the current words of these surfaces in each language; returns the wordings that were added.

    Raises WordsChanged, and adds nothing, if other words are kept under a current tag.
    """
    catalogue = list(surfaces)
    with transaction.atomic():
        kept = {
            (each.wording, each.language): each
            for each in Wording.objects.filter(wording__in=[surface.wording for surface in catalogue])
        }
        added, now = [], ledger.clock()
        for surface in catalogue:
            for language in languages():
                content = content_of(surface, language)
                found = kept.get((surface.wording, language))
                if found is None:
                    added.append(_wording(surface, language, content, now))
                elif found.content != content:
                    raise WordsChanged(f"the words of {surface.wording} ({language}) are others than those kept")
        return Wording.objects.bulk_create(added)


def _wording(surface: Surface, language: str, content: str, now: dt.datetime) -> Wording:
    return Wording(
        wording=surface.wording,
        surface=surface.key,
        language=language,
        content=content,
        sha256=digest(content),
        valid_from=now,
    )


def renew() -> None:
    """Keep the current words as of this instant; before the first event alone, because later the database refuses."""
    with transaction.atomic():
        Wording._base_manager.all().delete()
        sync()


def missing() -> list[str]:
    """A line for each current wording that is not kept yet: `migrate` keeps it."""
    wanted = {(surface.wording, language) for surface in SURFACES.values() for language in languages()}
    kept = set(Wording.objects.values_list("wording", "language"))
    return [f"{wording} ({language}) is not kept" for wording, language in sorted(wanted - kept)]


def sync_after_migrate(sender: AppConfig, using: str = DEFAULT_DB_ALIAS, **_kwargs: Any) -> None:
    """Receiver of post_migrate: nobody has to think of it when words have changed."""
    if Wording._meta.db_table not in connections[using].introspection.table_names():
        return
    try:
        sync()
    except WordsChanged as error:
        raise CommandError(f"Nothing was changed in what is kept: {error}. Give them a new tag.") from error


def on_screen(surface: Surface) -> str:
    """What a form says in its field `shown`: the surface's wording, and the language in which this page shows it."""
    return f"{surface.wording} {get_language() or settings.LANGUAGE_CODE}"


def stated(text: str) -> Shown:
    """What the field `shown` of a form says. NOT_STATED for anything else: an opt-out must not fail for it."""
    wording, _space, language = text.partition(" ")
    kept = Wording.objects.filter(wording=wording, language=language).exists()
    return Shown(wording, language) if kept else NOT_STATED


def languages_of(wording: str, surface: Surface) -> list[str]:
    """The languages in which this wording of the surface is kept; none: it is not one of its wordings."""
    rows = Wording.objects.filter(wording=wording, surface=surface.key)
    return list(rows.order_by("language").values_list("language", flat=True))


def current() -> dict[str, list[Wording]]:
    """Surface → its words as they are now, in each language."""
    found = Wording.objects.filter(wording__in=[surface.wording for surface in SURFACES.values()])
    return {key: [each for each in found if each.surface == key] for key in SURFACES}
