"""Django system checks of this app's settings: each says how to correct what it finds."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register

from . import manifests
from .pipeline.errors import PipelineError

_MAKE = "python -c 'import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode())'"


@register(Tags.security)
def manifest_key_is_a_key(app_configs: Any, **kwargs: Any) -> list[Any]:
    """None at all is no error: most installations train nothing."""
    if not settings.MANIFEST_SIGNING_KEY:
        return []
    try:
        manifests.signing_key()
    except PipelineError as error:
        return [Error(str(error), hint=f"Make one by: {_MAKE}", id="consent.E001")]
    return []
