"""The key that signs manifests, of snapshots and of training runs: not the key of anything else."""

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
