"""What the server refused to read is answered here, in the shape of every other answer."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from .bodies import LENGTH_REQUIRED, REFUSAL, Refusal
from .problems import refused


class RefusalMiddleware:
    """Answers requests that the server refused to read, and bodies of unknown length.

    No Content-Length: servers that can't skip the rest of the request then close the connection, as they must.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        refusal: Refusal | None = request.META.get(REFUSAL)
        if refusal is None:
            if "HTTP_TRANSFER_ENCODING" not in request.META:
                return self.get_response(request)
            refusal = Refusal(*LENGTH_REQUIRED)
        headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        return refused(request, refusal.status, refusal.code, refusal.detail, headers)
