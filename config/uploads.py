"""Uploads are streamed to a temporary file; one that is too large is left out, and the form says so."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest


class SizeLimit(FileUploadHandler):
    """Stands before the handlers that keep files: nothing beyond UPLOAD_MB comes to them."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self._received += len(raw_data)
        if self._received > settings.UPLOAD_MB << 20:
            self.request.upload_too_large = True  # type: ignore[union-attr]
            raise SkipFile
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None  # the next handler has it


def is_too_large(request: HttpRequest) -> bool:
    """Whether the request sent a file that was left out for its size."""
    return bool(getattr(request, "upload_too_large", False))
