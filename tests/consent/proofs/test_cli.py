"""`python -m consent.proofs verify-receipt`: without Django, settings or a database, and with the right exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consent.proofs import cli
from tests.support import proofs
from tests.support.proofs import OTHER_VKEY, REASON, VKEY

ROOT = Path(__file__).parents[3]
ONLY_CRYPTOGRAPHY = """
import sys
from consent.proofs.cli import main
code = main(sys.argv[1:])
strange = {name.partition(".")[0] for name in sys.modules} & {"django", "environ", "accounts", "config", "pyarrow"}
assert not strange, strange
assert {name for name in sys.modules if name.startswith("consent.")} == {
    name for name in sys.modules if name.startswith("consent.proofs")
}
sys.exit(code)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "position-42.tlog-proof"
    path.write_text(proofs.receipt().text(), "utf-8")
    return path


def test_verify_receipt__a_process_without_settings__says_what_is_proven(file):
    command = [sys.executable, "-c", ONLY_CRYPTOGRAPHY, "verify-receipt", str(file), "--vkey", VKEY]
    env = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout.count("yes  ") == 4
        and "in the log portal.example/log, as its checkpoint of 300 events" in done.stdout
    )
    assert "after         opted_out\n" in done.stdout and "“never”\\u000aagain" in done.stdout
    assert "reference" not in done.stdout


def test_verify_receipt__json_from_stdin__the_same_as_json(file, capsys, monkeypatch):
    with file.open("rb") as stdin:
        monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": stdin}))
        assert cli.main(["verify-receipt", "-", "--vkey", VKEY, "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["holds"] and said["event"]["after"] == "opted_out" and said["words"] == {"reason": REASON}
    assert (said["log"], said["size"]) == (proofs.ORIGIN, 300)


def test_verify_receipt__without_words__says_that_they_are_not_there(tmp_path, capsys):
    (tmp_path / "r").write_text(json.dumps(proofs.receipt(words=False).data(proofs.SIGNER.verifier)), "utf-8")
    assert cli.main(["verify-receipt", str(tmp_path / "r"), "--vkey", VKEY]) == 0
    assert "(not in this receipt)" in capsys.readouterr().out


def test_verify_receipt__keys_from_a_file__any_of_them_counts(file, tmp_path, capsys):
    (tmp_path / "keys").write_text(f"{OTHER_VKEY}\n{VKEY}\n", "utf-8")
    assert cli.main(["verify-receipt", str(file), "--vkey", str(tmp_path / "keys")]) == 0
    assert cli.main(["verify-receipt", str(file), "--vkey", OTHER_VKEY, "--vkey", VKEY]) == 0


def test_verify_receipt__another_key__proves_nothing(file, capsys):
    assert cli.main(["verify-receipt", str(file), "--vkey", OTHER_VKEY]) == 1
    assert "no   the checkpoint is signed with the key of the log: None of the keys" in (
        said := capsys.readouterr().out
    )
    assert "proves nothing" in said and "opted_out" not in said
    assert cli.main(["verify-receipt", str(file), "--vkey", OTHER_VKEY, "--format", "json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["holds"] is False and "event" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing", "--vkey", VKEY],
        ["{file}", "--vkey", "x"],
        ["{file}", "--vkey", "x" * 2000],
        ["{folder}", "--vkey", VKEY],
    ],
)
def test_verify_receipt__unreadable__exit_code_2(file, capsys, arguments):
    given = [each.format(file=file, folder=file.parent) for each in arguments]
    assert cli.main(["verify-receipt", *given]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("python -m consent.proofs verify-receipt: ") and err.count("\n") == 1


def test_verify_receipt__file_that_is_no_receipt__exit_code_2(tmp_path, capsys):
    (tmp_path / "x").write_bytes(b"\x1b[31m")
    assert cli.main(["verify-receipt", str(tmp_path / "x"), "--vkey", VKEY]) == 2
    assert "\x1b" not in "".join(capsys.readouterr())
