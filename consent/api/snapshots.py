"""Snapshots of consent for the pipeline: which there are, and their files. For operators, and their keys alone."""

import base64
from typing import Any

from django.http import FileResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import NotFound
from config import media_types

from ..pipeline.manifest import MANIFEST, TABLES
from ..snapshots import stored
from .base import ApiView
from .catalogue import WholeView
from .fields import Instant, OneOf, Output

_LARGEST = 2**63 - 1


class SnapshotFileOutput(Output):
    about = "A file of a snapshot."

    name = serializers.CharField(help_text="Its name, by which it is fetched.")
    table = OneOf(choices=TABLES, help_text="The table whose rows it has.")
    rows = serializers.IntegerField(min_value=0, help_text="How many rows it has.")
    size = serializers.IntegerField(min_value=0, max_value=_LARGEST, help_text="How many bytes it has.")
    sha256 = serializers.CharField(help_text="The SHA-256 of its bytes, in hexadecimal.")


class SnapshotOutput(Output):
    about = "All consent at a position of the ledger, as signed files."

    position = serializers.IntegerField(min_value=0, max_value=_LARGEST, help_text="The position in the ledger.")
    decided_at = Instant(source="decided", help_text="The instant of the state: of later ones it knows nothing.")
    manifest_sha256 = serializers.CharField(source="sha256", help_text="The SHA-256 of `manifest.json`.")
    files = SnapshotFileOutput(many=True, max_length=10_000, help_text="Its files, without the manifest.")  # type: ignore[call-arg]


class Snapshots(WholeView):
    def get(self, request: Request) -> Response:
        found = [each.manifest for each in stored.list_snapshots(self.actor)]
        return self.listed(request, found, SnapshotOutput)


def _position(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise NotFound("snapshot")
    return int(text)


class SnapshotDetail(ApiView):
    def get(self, _request: Request, position: str) -> Response:
        found = stored.get_snapshot(self.actor, _position(position))
        return Response(SnapshotOutput(found.manifest).data)


class SnapshotContent(ApiView):
    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Whatever Accept says: what is given is the file as it is, or a problem."""
        return super().perform_content_negotiation(request, force=True)

    def get(self, _request: Request, position: str, name: str) -> FileResponse:
        content = stored.open_file(stored.get_snapshot(self.actor, _position(position)), name)
        digest = base64.b64encode(bytes.fromhex(content.sha256)).decode()
        return FileResponse(
            content.file,
            content_type=media_types.JSON if name == MANIFEST else media_types.PARQUET,
            # RFC 9530; and nginx is not to buffer the answer.
            headers={"Repr-Digest": f"sha-256=:{digest}:", "X-Accel-Buffering": "no"},
        )
