"""The checkpoint in a run's manifest: each way in which it can be another than it should be, and the verdict."""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consent.pipeline import dsse, run_manifest, verifying
from consent.pipeline.cli import main
from consent.pipeline.errors import PipelineError
from consent.pipeline.gate import check, open_allowed
from consent.proofs import note, tree
from consent.proofs.note import Checkpoint, Signer
from tests.support import proofs, snapshots
from tests.support.proofs import ORIGIN, OTHER_VKEY, SIGNER, VKEY
from tests.support.snapshots import NOON, VERIFY_KEY

ROOT = Path(__file__).parents[3]
POSITION = 41
RUN = "0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e5f"
ABSENT = object()
ELSEWHERE = Signer("elsewhere.example/log", bytes(range(32)))


def seal(folder: Path, checkpoint: Any = ABSENT, key: Any = snapshots.KEY, **changes: Any) -> Path:
    """The manifest of a run of a file in `allowed/`, with this checkpoint in it; signed, whatever it says."""
    (folder / "allowed").mkdir(exist_ok=True)
    data = folder / "allowed" / "part-0.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3]}), data)
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    file = {"name": data.name, "rows": 3, "size": data.stat().st_size, "sha256": digest, "position": POSITION}
    predicate: dict[str, Any] = {"run": {"id": RUN}, "files": [file]}
    predicate["snapshots"] = [{"decided_at": NOON, "position": 7}, {"decided_at": NOON, "position": POSITION}]
    if checkpoint is not ABSENT:
        predicate["checkpoint"] = checkpoint
    statement = dsse.statement("https://portal.example/training-run/v1", predicate | changes, [file])
    path = folder / "run.json"
    path.write_bytes(dsse.sign(statement, key))
    return path


def signed_by(signer: Signer, size: int = proofs.SIZE) -> str:
    return note.sign(Checkpoint(signer.name, size, tree.root(proofs.read, size)).text(), signer)


def flipped(text: str, line: int, byte: int = 10) -> str:
    """With one bit changed of what a line of the note says in Base64."""
    lines = text.split("\n")
    before, _, last = lines[line].rpartition(" ")
    raw = bytearray(base64.b64decode(last))
    raw[byte] ^= 1
    lines[line] = f"{before} {base64.b64encode(bytes(raw)).decode()}".strip()
    return "\n".join(lines)


GOOD = proofs.checkpoint()
# What the manifest carries, and what is said of it ("": it holds).
CASES: dict[str, tuple[Any, str]] = {
    "as it was signed": (GOOD, ""),
    "just large enough": (proofs.checkpoint(POSITION), ""),
    "of the position before": (proofs.checkpoint(POSITION - 1), "does not cover position 41"),
    "of an earlier position": (proofs.checkpoint(7), "does not cover position 41"),
    "of another log": (signed_by(ELSEWHERE), "is of the log elsewhere.example/log"),
    "of the next log of this portal": (signed_by(SIGNER.under(f"{ORIGIN}/2")), f"is of the log {ORIGIN}/2"),
    "signed with another key": (signed_by(Signer(ORIGIN, bytes(32))), "with another key"),
    "signed by a witness alone": (GOOD.replace(GOOD.split("\n")[4] + "\n", ""), "with another key"),
    "a bit of the signature": (flipped(GOOD, 4), f"The signature of {ORIGIN} does not hold"),
    "a bit of the root": (flipped(GOOD, 2), f"The signature of {ORIGIN} does not hold"),
    "another size": (GOOD.replace("\n300\n", "\n301\n"), f"The signature of {ORIGIN} does not hold"),
    "another origin under the signature": (GOOD.replace(f"{ORIGIN}\n", "elsewhere.example/log\n", 1), "is of the log"),
    "an extension line": (GOOD.replace("\n\n", "\nmore\n\n"), "is malformed"),
    "no signature": (GOOD.partition("\n\n")[0], "is malformed"),
    "no checkpoint at all": ("Hello", "is malformed"),
    "empty": ("", "is malformed"),
    "none yet": (None, "none covered the run yet"),
    "no log": (ABSENT, "kept no log"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_verify__checkpoint_altered_and_the_manifest_signed_again__says_what_is_wrong(
    case: str, tmp_path: Path
) -> None:
    carried, problem = CASES[case]
    path = seal(tmp_path, carried)
    keys = run_manifest.log_keys(VKEY)
    verdict = verifying.verify(path, VERIFY_KEY, keys)
    problems = " ".join(each.problem for each in verdict.checks)
    assert verdict.holds is not bool(problem) and problem in problems
    assert (verdict.checkpoint is not None) is verdict.holds
    if problem:
        with pytest.raises(PipelineError, match=problem):
            run_manifest.require_checkpoint(run_manifest.RunManifest.read(path, VERIFY_KEY), keys)
        with pytest.raises(PipelineError, match=problem):
            open_allowed(path, tmp_path / "allowed", verify_key=VERIFY_KEY, vkey=VKEY)
    else:
        assert open_allowed(path, tmp_path / "allowed", verify_key=VERIFY_KEY, vkey=[VKEY]).count_rows() == 3
    # Whoever does not give the key of the log gets what there was before.
    assert check(path, tmp_path / "allowed", verify_key=VERIFY_KEY)


def test_verify__every_bit_of_signature_and_root__is_refused(tmp_path: Path) -> None:
    keys = run_manifest.log_keys(VKEY)
    lines = GOOD.split("\n")
    for line in (2, 4):
        raw = base64.b64decode(lines[line].rpartition(" ")[2])
        for bit in range(len(raw) * 8):
            altered = bytearray(raw)
            altered[bit // 8] ^= 1 << bit % 8
            before = lines[line].rpartition(" ")[0]
            changed = [*lines]
            changed[line] = f"{before} {base64.b64encode(bytes(altered)).decode()}".strip()
            with pytest.raises(PipelineError):
                run_manifest.require_signed("\n".join(changed), keys)


@pytest.mark.parametrize("value", [7, ["x"], {"note": GOOD}, True])
def test_verify__checkpoint_that_is_no_text__is_no_manifest(value: Any, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="not of a training run as this version"):
        verifying.verify(seal(tmp_path, value), VERIFY_KEY, [])


@pytest.mark.parametrize(
    "snapshots_said",
    [[{"decided_at": NOON}], [{"decided_at": NOON, "position": True}], [{"decided_at": NOON, "position": "7"}]],
)
def test_verify__no_position_to_cover__does_not_hold(snapshots_said: Any, tmp_path: Path) -> None:
    verdict = verifying.verify(seal(tmp_path, GOOD, snapshots=snapshots_said), VERIFY_KEY, run_manifest.log_keys(VKEY))
    assert not verdict.holds and "does not say which position" in verdict.checks[-1].problem


def test_verify__the_manifest_is_altered__proves_nothing_of_its_checkpoint(tmp_path: Path) -> None:
    verdict = verifying.verify(seal(tmp_path, GOOD, snapshots.OTHER_KEY), VERIFY_KEY, run_manifest.log_keys(VKEY))
    assert (verdict.holds, verdict.manifest, verdict.checkpoint, len(verdict.checks)) == (False, None, None, 1)
    assert "does not hold" in verdict.checks[0].problem


# --- The command ------------------------------------------------------------------------------------------------------

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["verify-manifest", *map(str, arguments), "--verify-key", VERIFY_KEY])
        return code, *capsys.readouterr()

    return run


def test_command__both_keys__says_what_the_run_rests_on(tmp_path: Path, said: Said) -> None:
    code, out, err = said(seal(tmp_path, GOOD), "--vkey", VKEY)
    assert (code, err, out.count("yes  ")) == (0, "", 4)
    assert f"Run {RUN} rests on the ledger up to position 41." in out
    assert f"The log {ORIGIN} had 300 events, these among them" in out
    code, out, _err = said(seal(tmp_path, GOOD), "--vkey", VKEY, "--format", "json")
    told = json.loads(out)
    assert code == 0 and told["holds"] and len(told["checks"]) == 4
    assert (told["run"], told["position"], told["checkpoint"]) == (RUN, 41, {"log": ORIGIN, "size": 300})


def test_command__without_the_key_of_the_log__says_that_it_was_not_checked(tmp_path: Path, said: Said) -> None:
    for carried in (GOOD, flipped(GOOD, 2), None, ABSENT):
        code, out, err = said(seal(tmp_path, carried))
        assert (code, err, out.count("yes  ")) == (0, "", 1) and "checkpoint was not checked" in out
        assert "these among them" not in out


def test_command__does_not_hold__exit_code_1_and_nothing_of_what_it_says(tmp_path: Path, said: Said) -> None:
    code, out, _err = said(seal(tmp_path, GOOD), "--vkey", OTHER_VKEY)
    assert code == 1 and "no   the checkpoint is signed" in out and out.endswith("This manifest proves nothing.\n")
    assert RUN not in out
    code, out, _err = said(seal(tmp_path, GOOD, snapshots.OTHER_KEY), "--vkey", VKEY, "--format", "json")
    assert code == 1 and json.loads(out)["holds"] is False and "run" not in json.loads(out)


def test_command__what_can_not_be_read__exit_code_2(tmp_path: Path, said: Said) -> None:
    path, empty = seal(tmp_path, GOOD), tmp_path / "empty"
    empty.touch()
    for arguments in ([tmp_path / "missing"], [empty], [path, "--vkey", "x"], [path, "--vkey", empty]):
        code, out, err = said(*arguments)
        assert (code, out) == (2, "") and "Traceback" not in err and err.count("\n") == 1


ALONE = """
import sys
from consent.pipeline.cli import main
assert main(sys.argv[1:]) == 0
assert not {"django", "duckdb", "pyarrow"} & set(sys.modules)
"""


def test_command__manifest_alone__needs_no_library_of_the_pipeline(tmp_path: Path) -> None:
    given = ["verify-manifest", seal(tmp_path, GOOD), "--verify-key", VERIFY_KEY, "--vkey", VKEY]
    subprocess.run([sys.executable, "-c", ALONE, *given], cwd=ROOT, check=True, capture_output=True)


def test_command__with_files__refuses_them_by_the_key_of_the_log(tmp_path: Path) -> None:
    path = seal(tmp_path, proofs.checkpoint(POSITION - 1))
    command = [
        sys.executable,
        "-m",
        "consent.pipeline",
        "verify",
        path,
        tmp_path / "allowed",
        "--verify-key",
        VERIFY_KEY,
    ]
    done = subprocess.run([*command, "--vkey", VKEY], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "does not cover position 41" in done.stderr and "Traceback" not in done.stderr
