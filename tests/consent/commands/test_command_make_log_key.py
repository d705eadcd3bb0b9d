"""make_log_key prints a key and its verifier key, which fit each other."""

from typing import Any

from consent.proofs.note import Checkpoint, Signer, Verifier, open_checkpoint, sign
from tests.support.commands import run


def test_make_log_key__twice__two_lines_each_of_a_key_of_its_own(settings: Any) -> None:
    settings.LOG_ORIGIN = "portal.example/log"
    found = []
    for _time in range(2):
        result = run("make_log_key")
        assert result.code == 0
        signing, verifying = result.out.splitlines()
        signer = Signer.parse(signing.removeprefix("LOG_SIGNING_KEY="))
        verifier = Verifier.parse(verifying.removeprefix("LOG_VERIFIER_KEY="))
        assert signer.verifier == verifier
        assert verifier.name == "portal.example/log"
        checkpoint = Checkpoint(verifier.name, 7, bytes(32))
        assert open_checkpoint(sign(checkpoint.text(), signer), [verifier]) == checkpoint
        found.append(signing)
    assert found[0] != found[1]


def test_make_log_key__name_that_no_key_can_have__refused(settings: Any) -> None:
    settings.LOG_ORIGIN = "a log"
    result = run("make_log_key")
    assert (result.code, result.out) == (2, "")
    assert "LOG_ORIGIN" in result.err
