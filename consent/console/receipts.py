"""The receipt of an event, to keep: its page, and the file in both forms."""

import json

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.access import Actor, NotFound
from config import media_types

from ..errors import ServiceError
from ..log import receipts
from ..presentation.histories import rows_of
from .pages import page, person_page

_TEXT, _JSON = "tlog-proof", "json"


@require_safe
@person_page
def receipt(request: HttpRequest, actor: Actor, number: str) -> HttpResponse:
    """What the receipt is for, and the file to download; or why there is none, and that there is none yet."""
    event = receipts.get_event(actor, number)
    problem: ServiceError | None = None
    given, status = None, 200
    try:
        given = receipts.receipt_of(event, actor)
    except ServiceError as error:
        problem = error
        status = 200 if isinstance(error, receipts.NotLogged) else error.http_status
    context = {
        "row": rows_of([event], actor)[0],
        "problem": problem,
        "soon": status == 200,
        "wordless": given is not None and bool(event.reason) and not given.receipt.words,
    }
    return page(request, actor, "console/receipt.html", context, status=status)


@require_safe
@person_page
def receipt_file(_request: HttpRequest, actor: Actor, number: str, form: str) -> HttpResponse:
    """The file itself. Where there is none, 404: the page says why."""
    event = receipts.get_event(actor, number)
    try:
        given = receipts.receipt_of(event, actor)
    except ServiceError:
        raise NotFound("receipt") from None
    if form == _TEXT:
        content, kind = given.receipt.text(), "text/plain; charset=utf-8"
    elif form == _JSON:
        content, kind = json.dumps(given.data(), indent=2, ensure_ascii=False), media_types.JSON
    else:
        raise NotFound("form")
    name = f'attachment; filename="receipt-{event.pk}.{form}"'
    return HttpResponse(content, content_type=kind, headers={"Content-Disposition": name})
