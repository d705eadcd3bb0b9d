"""Serves the OpenAPI description as JSON and YAML, and the Swagger UI page that shows it."""

import functools
import hashlib
import json
import threading
from typing import Any

from csp.decorators import csp_update
from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.cache import get_conditional_response
from django.utils.decorators import method_decorator
from django.utils.http import quote_etag
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

_FRESH_SECONDS = 300  # how long clients and proxies may cache the description
_making = threading.RLock()


def _served_as(renderer: type[Any], *media_types: str) -> list[type[Any]]:
    return [type(renderer.__name__, (renderer,), {"media_type": name}) for name in media_types]


# The first one is the default for clients that accept anything, as browsers do.
RENDERERS = [
    *_served_as(
        OpenApiJsonRenderer, "application/json", "application/openapi+json", "application/vnd.oai.openapi+json",
    ),
    *_served_as(
        OpenApiYamlRenderer, "application/yaml", "application/openapi+yaml", "application/vnd.oai.openapi",
        "application/vnd.oai.openapi+yaml", "application/x-yaml", "text/yaml", "text/x-yaml",
    ),
]  # fmt: skip


@functools.cache
def _made() -> Any:
    """The generated description, always in English. Cached, because generating it takes a second."""
    with translation.override(settings.LANGUAGE_CODE):
        generator = SchemaGenerator(urlconf=settings.ROOT_URLCONF)  # type: ignore[no-untyped-call]
        made = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
        return json.loads(OpenApiJsonRenderer().render(made))


@functools.cache
def _text(as_yaml: bool) -> tuple[bytes, str]:
    """The serialized description and its ETag; cached in each process."""
    text = (OpenApiYamlRenderer() if as_yaml else OpenApiJsonRenderer()).render(_made())
    return text, quote_etag(hashlib.sha256(text).hexdigest()[:32])


class ByQuality(DefaultContentNegotiation):
    """Content negotiation that respects quality values (`q`) in Accept, which DRF ignores."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        by_type = {renderer.media_type: renderer for renderer in renderers}
        wanted = request._request.get_preferred_type(list(by_type))
        if wanted is None:  # perhaps because the type has parameters, which DRF ignores when it matches
            return super().select_renderer(request, renderers, format_suffix)  # type: ignore[no-any-return]
        return by_type[wanted], wanted


class Schema(APIView):
    """Public, without authentication: the description contains no tenant's data."""

    http_method_names = ["get", "head"]
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    renderer_classes = RENDERERS
    content_negotiation_class = ByQuality

    def get(self, request: Request, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        renderer: Any = request.accepted_renderer
        with _making:  # concurrent first requests wait for one of them to generate it
            text, etag = _text(isinstance(renderer, OpenApiYamlRenderer))
        headers = {"ETag": etag, "Cache-Control": f"public, max-age={_FRESH_SECONDS}", "Vary": "Accept"}
        response = HttpResponse(text, content_type=renderer.media_type, headers=headers)
        return get_conditional_response(request, etag=etag, response=response) or response


# Swagger UI's style sheet contains its icons as data: URLs.
@method_decorator(csp_update({"img-src": ["data:"]}), name="dispatch")
class Docs(SpectacularSwaggerSplitView):
    http_method_names = ["get", "head"]
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    url_name = "schema"
    url_self = None
    template_name = "api/docs.html"
