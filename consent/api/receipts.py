"""The receipt of an event: what proves to anybody that it is in the log."""

from typing import Any

from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from config.problems import Problem

from ..log import receipts
from ..proofs.receipt import FORMAT
from .base import ApiView, Renderer
from .fields import OneOf, Output

TEXT = "text/plain"


class ReceiptOutput(Output):
    about = "What proves that an event is in the log: `python -m consent.proofs verify-receipt` checks it."

    format = OneOf(choices=[FORMAT], help_text="The format, which docs/proofs.md describes.")
    event = serializers.DictField(help_text="The fields of the event, as `body` has them.")
    words = serializers.DictField(
        child=serializers.CharField(),
        help_text="The texts whose SHA-256, with `words_salt` before it, is in the fields; those told to you.",
    )
    body = serializers.CharField(help_text="The event as canonical JSON, byte for byte as it was hashed.")
    salt = serializers.CharField(help_text="32 bytes in Base64, hashed before the body: without it nobody can guess.")
    words_salt = serializers.CharField(
        allow_null=True, help_text="32 bytes in Base64; null where the receipt has no words."
    )
    entry = serializers.CharField(help_text="What the log holds: 32 bytes in Base64, the SHA-256 of salt and body.")
    index = serializers.IntegerField(min_value=0, max_value=2**63 - 1, help_text="Its place in the log, from 0.")
    proof = serializers.ListField(
        child=serializers.CharField(),
        max_length=64,
        help_text="The hashes from the event's leaf up to the root, as RFC 6962 orders them, in Base64.",
    )
    checkpoint = serializers.CharField(help_text="The signed note that has the root: C2SP's tlog-checkpoint.")
    verifier_key = serializers.CharField(help_text="The key that signed it: a hint. Take it from elsewhere to check.")
    consent_record = serializers.DictField(
        allow_null=True,
        help_text="The event in the shape of a consent record of ISO/IEC TS 27560; null where it is about no data.",
    )


class _TextRenderer(BaseRenderer):
    media_type, format, charset = TEXT, "txt", "utf-8"

    def render(self, data: Any, *_args: Any, **_named: Any) -> bytes:
        return str(data).encode()


class Receipt(ApiView):
    renderer_classes = [Renderer, _TextRenderer]

    def get(self, request: Request, event: str) -> Response:
        """As JSON, or where Accept prefers text/plain as C2SP's tlog-proof."""
        found = receipts.get_event(self.actor, event)
        try:
            given = receipts.receipt_of(found, self.actor)
        except receipts.NotLogged as error:
            headers = {"Retry-After": str(error.seconds)}
            raise Problem(error.http_status, error.code, str(error), headers=headers) from None
        as_text = request.accepted_renderer.media_type == TEXT
        name = f'attachment; filename="receipt-{found.pk}.{"tlog-proof" if as_text else "json"}"'
        return Response(given.receipt.text() if as_text else given.data(), headers={"Content-Disposition": name})
