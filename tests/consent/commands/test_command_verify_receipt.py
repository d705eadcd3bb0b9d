"""verify_receipt checks a receipt by the key that is given, which needs no database, or by that of the portal's log."""

import json
from pathlib import Path

import pytest

from tests.support import log, proofs
from tests.support.commands import run


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "receipt-48.tlog-proof"
    path.write_text(proofs.receipt().text(), "utf-8")
    return str(path)


def test_verify_receipt__by_a_key_that_is_given__needs_no_database(file: str) -> None:
    result = run("verify_receipt", file, "--vkey", proofs.VKEY)
    assert result.code == 0 and result.out.count("yes  ") == 4 and "opted_out" in result.out
    result = run("verify_receipt", file, "--vkey", proofs.VKEY, "--format", "json")
    assert json.loads(result.out)["holds"] is True


@pytest.mark.django_db
def test_verify_receipt__without_a_key__by_that_of_the_log(file: str) -> None:
    result = run("verify_receipt", file)
    assert (result.code, result.out) == (2, "") and "keeps no log" in result.err
    with log.kept():  # whose key is the same as that of the made-up receipts
        assert run("verify_receipt", file).code == 0


def test_verify_receipt__another_key__proves_nothing(file: str) -> None:
    result = run("verify_receipt", file, "--vkey", proofs.OTHER_VKEY)
    assert result.code == 1 and "This receipt proves nothing." in result.out and "does not hold" in result.err


@pytest.mark.parametrize("arguments", [["missing", "--vkey", proofs.VKEY], ["{file}", "--vkey", "x"]])
def test_verify_receipt__unreadable__exit_code_2(file: str, arguments: list[str]) -> None:
    result = run("verify_receipt", *(each.format(file=file) for each in arguments))
    assert (result.code, result.out) == (2, "") and "Nothing was proven." in result.err
