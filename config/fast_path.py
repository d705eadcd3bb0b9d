"""Questions that come with a key need no session, no page headers and no URL search: half the time of an answer."""

import functools
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import resolve, reverse
from django.utils import translation

# Plain views that check the key, read the body and answer errors themselves.
QUESTIONS = ("api:decisions", "api:decisions-batch", "authzen-evaluation", "authzen-evaluations")


View = Callable[[HttpRequest], HttpResponse]


@functools.cache  # asked first by a request: what the URLs import needs all apps
def _views() -> dict[str, View]:
    return {path: resolve(path).func for path in map(reverse, QUESTIONS)}


def is_question(path: str) -> bool:
    return path in _views()


class FastPathMiddleware:
    """Goes straight to the view where the answer is the same as by all the middleware below this one.

    A browser's session, and a language that is asked for, take the long way.
    """

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        headers = request.META
        if "HTTP_AUTHORIZATION" not in headers or "HTTP_ACCEPT_LANGUAGE" in headers:
            return self.get_response(request)
        view = _views().get(request.path)
        if view is None:
            return self.get_response(request)
        request.get_host()  # raises DisallowedHost
        translation.deactivate()  # the language of this thread's last page is not this caller's
        response = view(request)
        response.headers.setdefault("Content-Length", str(len(response.content)))
        return response
