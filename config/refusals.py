"""Error responses for requests whose body was not read, in the same format as all other errors."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse

from .bodies import CODED, LENGTH_REQUIRED, REFUSAL, Refusal
from .problems import refused


class RefusalMiddleware:
    """Refuses requests whose body could not be read, has no known length, or has a Content-Encoding.

    The response has no Content-Length. A server that can't skip the rest of the request then closes the connection,
    as it must.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        refusal = _refusal(request.META)
        if refusal is None:
            return self.get_response(request)
        headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        if refusal.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            headers["Accept-Encoding"] = "identity"
        return refused(request, refusal.status, refusal.code, refusal.detail, headers)


def _refusal(headers: dict[str, Any]) -> Refusal | None:
    refusal: Refusal | None = headers.get(REFUSAL)
    if refusal is None and "HTTP_TRANSFER_ENCODING" in headers:
        return Refusal(*LENGTH_REQUIRED)
    if refusal is None and headers.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
        return Refusal(*CODED)
    return refusal
