"""The organization's history as a streamed CSV or JSON Lines file, with the filters of the page."""

from collections.abc import Iterator
from typing import Any

from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import Actor, Permission
from accounts.fields import rfc3339
from accounts.models import Organization
from config import media_types

from ..files.exports import CSV, JSON_LINES, WRITERS, Put
from ..models import ConsentEvent, Source
from ..presentation.histories import rows_of
from ..services.exports import Export, note_export
from ..surfaces import Shown
from .forms import HistoryFilter
from .history import events_of
from .pages import organization_page

COLUMNS = (
    "event", "at", "what", "product", "before", "after", "reason", "who", "where", "subject", "plan", "effect",
    "wording", "language", "app_version",
)  # fmt: skip
_FORMS = {CSV: media_types.CSV, JSON_LINES: media_types.JSON_LINES}
_BATCH = 500


@require_safe
def history_export(request: HttpRequest, org: str, form: str) -> HttpResponseBase:
    if form not in _FORMS:
        raise Http404
    view = organization_page(Permission.HISTORY_VIEW)(
        lambda request, actor, organization: _export(request, actor, organization, form)  # type: ignore[arg-type,return-value]
    )
    return view(request, org)


def _export(request: HttpRequest, actor: Actor, organization: Organization, form: str) -> HttpResponseBase:
    filters = HistoryFilter(request.GET)
    if not filters.is_valid():
        raise Http404
    found = events_of(actor, organization).filter(**filters.conditions())
    # A HEAD request takes no data away, so it is not recorded as an export.
    if request.method == "GET":
        noted = note_export(Export.HISTORY, organization=organization, actor=actor, source=Source.CONSOLE)
        # The file ends before the event that records its own download.
        found = found.filter(pk__lt=noted.pk)
    out = _Lines()
    put = WRITERS[form](out, list(COLUMNS))  # here: the stream runs later, when the reader's language is not set
    response = StreamingHttpResponse(_lines(found, actor, out, put), content_type=_FORMS[form])
    name = f"history-{organization.pk}-{timezone.now():%Y-%m-%d}.{form}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


class _Lines(list[str]):
    """A text buffer for a writer, emptied after each batch."""

    def write(self, text: str, /) -> None:
        self.append(text)

    def taken(self) -> str:
        text = "".join(self)
        self.clear()
        return text


def _shown(event: ConsentEvent) -> list[str]:
    return [getattr(event, name) for name in Shown._fields]


def _lines(found: Any, actor: Actor, out: _Lines, put: Put) -> Iterator[str]:
    """The rows newest first, read by keyset: events written meanwhile have a higher id, so they are not in the file."""
    after: int | None = None
    while True:
        rows = found if after is None else found.filter(pk__lt=after)
        events: list[ConsentEvent] = list(rows.order_by("-pk")[:_BATCH])
        for event, row in zip(events, rows_of(events, actor), strict=True):
            at = rfc3339(event.recorded_at)
            told = (event.before, event.after, event.reason, row.who, event.source, row.subject)
            put(
                [
                    event.pk,
                    at,
                    event.kind,
                    event.product,
                    *told,
                    event.plan if row.plan else "",
                    row.effect,
                    *_shown(event),
                ]
            )
        if text := out.taken():
            yield text
        if len(events) < _BATCH:
            return
        after = events[-1].pk
