"""Streams the ledger as JSON Lines, from a position to its head: for consumers that read much of it."""

import json
from collections.abc import Iterator
from typing import Any

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request

from accounts.access import Actor, Permission, require
from config import media_types

from .. import ledger
from ..models import ConsentEvent
from ..presentation import actors, events
from ..witness import quarantine
from .base import ApiView
from .fields import Input, Text

_PAGE = 500


class StreamQuery(Input):
    after = Text(
        required=False,
        default="0",
        pattern="^[0-9]+$",
        longest=19,
        help_text="The position of the last event that is known.",
    )

    def validate_after(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63):
            raise serializers.ValidationError(_("Give a number that is 0 or greater."))
        return int(text)


class EventStream(ApiView):
    query_class = StreamQuery

    def get(self, request: Request) -> StreamingHttpResponse:
        """Holds one page of rows in memory at a time. An interrupted client resumes after its last whole line."""
        require(self.actor, Permission.LEDGER_VIEW, None)
        quarantine.require_whole()
        ledger.sequence()
        return StreamingHttpResponse(
            lines(self.actor, self.params["after"]), content_type=media_types.JSON_LINES, headers=_HEADERS
        )


# Tells nginx not to buffer the answer, which would defeat streaming.
_HEADERS = {"X-Accel-Buffering": "no"}


def lines(actor: Actor, after: int) -> Iterator[bytes]:
    """Chunks of lines, one line for each event after the position `after`, up to the head at the start of the call."""
    # Fixed here: with a moving head the stream of a busy ledger would never end.
    head = ledger.head()
    while after < head:
        rows = ConsentEvent.objects.all().visible_to(actor).placed()
        page = list(rows.filter(placed__position__gt=after, placed__position__lte=head)[:_PAGE])
        if not page:
            return
        labels = actors.labels(page, actor)
        told: list[dict[str, Any]] = [
            events.serialize_event(event, labels[event.pk], for_operator=actor.is_operator) for event in page
        ]
        yield "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in told).encode()
        after = page[-1].placed.position
