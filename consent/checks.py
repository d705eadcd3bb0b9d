"""Django system checks of this app's settings: each says how to correct what it finds."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register

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


@register(Tags.security)
def witness_is_elsewhere(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Paths of WITNESS: absolute, and not beside the database, where whoever restores that restores both."""
    database = settings.DATABASES["default"]
    folder = Path(str(database["NAME"])).parent.resolve() if database["ENGINE"].endswith("sqlite3") else None
    problems: list[Any] = []
    for path in map(Path, settings.WITNESS):
        if not path.is_absolute():
            problems.append(
                Error(
                    f"WITNESS: {path} is no absolute path.", hint="WITNESS=/mnt/other-disk/witness", id="consent.E003"
                )
            )
        elif folder is not None and path.parent.resolve() == folder:
            problems.append(
                Warning(
                    f"WITNESS: {path} is in the folder of the database.",
                    hint="Keep it on another disk: a backup that is restored must not bring the witness along.",
                    id="consent.W003",
                )
            )
    return problems


@register(Tags.security, deploy=True)
def witness_is_kept(app_configs: Any, **kwargs: Any) -> list[Any]:
    if settings.WITNESS:
        return []
    return [
        Error(
            "WITNESS is not set: a database that is restored to before an opt-out would say “yes” again, unseen.",
            hint="WITNESS=/path/on/another/disk/witness.jsonl for every process. See docs/operations.md.",
            id="consent.E004",
        )
    ]
