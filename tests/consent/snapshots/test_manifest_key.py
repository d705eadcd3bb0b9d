"""The key that signs manifests: absent or well-formed; a malformed one keeps every command from starting."""

from typing import Any

import pytest
from django.conf import settings as conf

from consent import manifests
from consent.pipeline import dsse
from consent.pipeline.errors import PipelineError
from tests.support import snapshots
from tests.support.commands import run

MALFORMED = ["short", "AAEC", snapshots.SIGNING_KEY[:-4], f"{snapshots.SIGNING_KEY},{snapshots.SIGNING_KEY}", "é" * 44]


def test_key__of_the_tests__that_of_their_support() -> None:
    assert conf.MANIFEST_SIGNING_KEY == snapshots.SIGNING_KEY
    assert dsse.public_text(manifests.signing_key()) == snapshots.VERIFY_KEY


@pytest.mark.django_db
@pytest.mark.parametrize("text", MALFORMED)
def test_key__malformed__found_and_no_command_starts(settings: Any, text: str) -> None:
    settings.MANIFEST_SIGNING_KEY = text
    done = run("verify_ledger")
    assert done.code == 1 and "consent.E001" in done.err and text not in done.err
    with pytest.raises(PipelineError, match="MANIFEST_SIGNING_KEY is malformed"):
        manifests.signing_key()


@pytest.mark.django_db
def test_key__none__commands_start_and_nothing_is_signed(settings: Any) -> None:
    settings.MANIFEST_SIGNING_KEY = ""
    assert run("verify_ledger").code == 0
    with pytest.raises(PipelineError, match="MANIFEST_SIGNING_KEY is not set"):
        manifests.signing_key()
