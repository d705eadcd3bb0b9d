"""The key that signs manifests, of snapshots and of training runs: not the key of anything else."""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from .pipeline import dsse
from .pipeline.errors import PipelineError


def signing_key() -> Ed25519PrivateKey:
    """The key of MANIFEST_SIGNING_KEY. Raises PipelineError if that is not set, or malformed."""
    if not settings.MANIFEST_SIGNING_KEY:
        raise PipelineError("MANIFEST_SIGNING_KEY is not set, so no manifest can be signed: see docs/operations.md.")
    try:
        return dsse.signing_key(settings.MANIFEST_SIGNING_KEY)
    except ValueError as error:
        raise PipelineError(f"MANIFEST_SIGNING_KEY is malformed: {error}.") from None


def origin() -> str:
    """What the types of our statements begin with: the portal's address."""
    return str(settings.PORTAL_URL)


def predicate_of(manifest: str) -> dict[str, Any]:
    """What one of our own manifests, as it is stored, says. Checks no signature; raises ValueError for what is none."""
    try:
        found = json.loads(base64.b64decode(json.loads(manifest)["payload"]))["predicate"]
    except (KeyError, TypeError) as error:
        raise ValueError("no manifest") from error
    if not isinstance(found, dict):
        raise ValueError("no manifest")
    return found
