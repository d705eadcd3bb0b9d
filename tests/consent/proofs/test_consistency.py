"""`python -m consent.proofs verify-consistency`: two checkpoints and a copy of the log, and each way to differ."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from consent.proofs import cli, note, tree
from consent.proofs.note import Checkpoint, Signer
from tests.support import proofs
from tests.support.proofs import ORIGIN, OTHER_VKEY, SIGNER, VKEY

Read = Callable[[int, int], bytes]


def copy_of(folder: Path, size: int, read: Read = proofs.read) -> Path:
    """The tiles of a log of so many leaves, as files."""
    level = 0
    while count := size >> 8 * level:
        for number in range(0, count, 256):
            width = min(256, count - number)
            name = f"{number // 256:03}" if width == 256 else f"{number // 256:03}.p/{width}"
            path = folder / "tile" / str(level) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(read(8 * level, n) for n in range(number, number + width)))
        level += 1
    return folder


def rewritten(level: int, index: int) -> bytes:
    """The same log, of which event 5 is another."""
    if level:
        return tree.node_hash(rewritten(level - 1, 2 * index), rewritten(level - 1, 2 * index + 1))
    return tree.leaf_hash(b"another") if index == 5 else proofs.read(0, index)


def signed(size: int, read: Read = proofs.read, signer: Signer = SIGNER) -> str:
    return note.sign(Checkpoint(signer.name, size, tree.root(read, size)).text(), signer)


@pytest.fixture
def compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(old: str, new: str, *more: str, log: Path | None = None, vkey: str = VKEY) -> tuple[int, str, str]:
        for name, text in (("old", old), ("new", new)):
            (tmp_path / name).write_text(text, "utf-8")
        given = [str(tmp_path / "old"), str(tmp_path / "new"), "--log", str(log or tmp_path / "log"), "--vkey", vkey]
        code = cli.main(["verify-consistency", *given, *more])
        return code, *capsys.readouterr()

    return run


Compare = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("old", "new"), [(1, 1), (1, 2), (3, 7), (255, 256), (256, 257), (256, 600), (300, 300), (300, 512), (511, 600)]
)
def test_compare__one_grew_out_of_the_other__holds(compare: Compare, tmp_path: Path, old: int, new: int) -> None:
    copy_of(tmp_path / "log", new)
    code, out, err = compare(signed(old), signed(new))
    assert (code, err, out.count("yes  ")) == (0, "", 5)
    assert f"All {old} events that the older one had in the log {ORIGIN} are unchanged among the {new}" in out
    code, out, _err = compare(signed(old), signed(new), "--format", "json")
    told = json.loads(out)
    assert code == 0 and (told["log"], told["old"], told["new"]) == (ORIGIN, old, new)


def test_compare__a_copy_that_goes_further__holds_too(compare: Compare, tmp_path: Path) -> None:
    """An auditor copies the log once, and compares checkpoints of before with it."""
    copy_of(tmp_path / "log", 300)
    copy_of(tmp_path / "log", 600)
    for old, new in ((40, 41), (270, 300), (299, 590)):
        assert compare(signed(old), signed(new))[0] == 0
    copy_of(tmp_path / "far", 65_540)
    assert compare(signed(300), signed(65_538), log=tmp_path / "far")[0] == 0


REWRITTEN = {
    "tiles of the rewritten log": (rewritten, "no   the newer tree begins with the older one"),
    "tiles of the log as it was": (proofs.read, "no   the tiles lead to the root of the newer checkpoint"),
}


@pytest.mark.parametrize("case", REWRITTEN)
@pytest.mark.parametrize("size", [300, 400])
def test_compare__log_made_anew__is_told_apart(compare: Compare, tmp_path: Path, case: str, size: int) -> None:
    """Signed with the right key: this is what a checkpoint is kept for. Of the same size, too."""
    read, said = REWRITTEN[case]
    copy_of(tmp_path / "log", size, read)
    code, out, _err = compare(signed(300), signed(size, rewritten))
    assert code == 1 and said in out and "keep both checkpoints" in out
    code, out, _err = compare(signed(300), signed(size, rewritten), "--format", "json")
    assert code == 1 and json.loads(out)["holds"] is False and "log" not in json.loads(out)


@pytest.mark.parametrize(
    ("old", "new", "vkey", "said"),
    [
        (signed(7), signed(300), OTHER_VKEY, "no   the older checkpoint is signed"),
        (signed(7, signer=Signer(ORIGIN, bytes(32))), signed(300), VKEY, "no   the older checkpoint is signed"),
        (signed(7), signed(300, signer=Signer(ORIGIN, bytes(32))), VKEY, "no   the newer checkpoint is signed"),
        (signed(7).replace("\n7\n", "\n8\n"), signed(300), VKEY, "no   the older checkpoint is signed"),
        (signed(300), signed(7), VKEY, "swap them"),
        (signed(7, signer=SIGNER.under(f"{ORIGIN}/2")), signed(300), VKEY, f"The older one is of {ORIGIN}/2"),
    ],
)
def test_compare__other_keys_logs_or_order__does_not_hold(
    compare: Compare, tmp_path: Path, old: str, new: str, vkey: str, said: str
) -> None:
    copy_of(tmp_path / "log", 300)
    code, out, _err = compare(old, new, vkey=vkey)
    assert code == 1 and said in out and "are unchanged" not in out


def test_compare__every_bit_of_a_tile__is_found(compare: Compare, tmp_path: Path) -> None:
    """Those of the hashes that both trees take; the other hashes of the copy nobody asks for."""
    tile = copy_of(tmp_path / "log", 12) / "tile" / "0" / "000.p" / "12"
    content = tile.read_bytes()
    for at in range(len(content)):
        tile.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        assert compare(signed(5), signed(12))[0] == 1


@pytest.mark.parametrize("lost", ["0/000", "0/001.p/44", "1/000.p/1"])
@pytest.mark.parametrize("short", [True, False])
def test_compare__copy_without_a_tile__says_which_and_judges_nothing(
    compare: Compare, tmp_path: Path, lost: str, short: bool
) -> None:
    path = copy_of(tmp_path / "log", 300) / "tile" / lost
    content = path.read_bytes()
    path.unlink()
    if short:
        path.write_bytes(content[:-1])
    code, out, err = compare(signed(200), signed(300))
    assert (code, out) == (2, "") and "There is no tile" in err and err.count("\n") == 1


def test_compare__what_is_no_checkpoint__exit_code_2(compare: Compare, tmp_path: Path) -> None:
    copy_of(tmp_path / "log", 300)
    for old, new in (("Hello", signed(300)), (signed(7), ""), (signed(7).replace("\n\n", "\nmore\n\n"), signed(300))):
        code, out, err = compare(old, new)
        assert (code, out) == (2, "") and "Traceback" not in err
    assert compare(signed(7), signed(300), vkey="x")[0] == 2
