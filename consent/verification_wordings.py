"""Verifies the words that events name: that they are kept, and are what they were."""

from django.db.models import Exists, OuterRef

from .models import ConsentEvent, Wording
from .models.wordings import digest
from .surfaces import NOT_STATED
from .wording_digests import DIGESTS, NOT_KEPT

_SHOWN = 10  # offenders named


def problems() -> list[str]:
    """A line for each wording that was altered, and for each that an event names and nobody kept."""
    found = []
    for each in Wording.objects.order_by("pk"):
        known = DIGESTS.get(each.wording, {}).get(each.language, each.sha256)
        if digest(each.content) != each.sha256 or each.sha256 != known:
            found.append(f"wording {each.wording} ({each.language}) was altered: its digest is another")
    untold = ConsentEvent.objects.exclude(wording__in=["", NOT_STATED.wording, *NOT_KEPT])
    kept = Wording.objects.filter(wording=OuterRef("wording"), language=OuterRef("language"))
    nobody = untold.exclude(Exists(kept)).order_by("pk").values_list("pk", "wording", "language")
    found += [
        f"event {pk} names words that are not kept: {wording} ({language})" for pk, wording, language in nobody[:_SHOWN]
    ]
    stray = ConsentEvent.objects.filter(wording__in=("", NOT_STATED.wording)).exclude(language="", app_version="")
    found += [
        f"event {pk} names a language without words"
        for pk in stray.order_by("pk").values_list("pk", flat=True)[:_SHOWN]
    ]
    return found
