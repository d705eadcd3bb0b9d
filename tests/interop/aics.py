"""Checks a log with aics-tlog, which knows C2SP's formats and nothing of the portal: `make interop-log`.

    python aics.py LOG KEPT

LOG is the address of the log. KEPT is a folder with what was kept of it: `key`, the checkpoints `old` and `new`, and
receipts as JSON. The program aics-tlog reads the log over HTTP, as an auditor would. Its library gets all of it again
with one bit flipped, for every bit: a process for each would take hours. The exit code is 1 after any wrong verdict.
"""

import base64
import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import aics_tlog as tlog
from aics_tlog.bundle import u64_decode, u64_encode
from aics_tlog.tiles import entry_bundle_path, tile_path

LOG, KEPT = sys.argv[1], Path(sys.argv[2])
KEY = tlog.parse_vkey((KEPT / "key").read_text(encoding="utf-8"))
NOTES = {name: (KEPT / name).read_bytes() for name in ("old", "new")}
OLD, NEW = (tlog.parse_checkpoint(tlog.parse_note(note).text) for note in NOTES.values())
RECEIPTS = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(KEPT.glob("receipt-*.json"))]
TILE = 256

# What kind of thing it is, its name, its bytes, and what says whether these hold.
Case = tuple[str, str, bytes, Callable[[bytes], bool]]


class Verdicts:
    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()
        self.flipped: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []

    def add(self, other: "Verdicts") -> None:
        self.accepted += other.accepted
        self.flipped += other.flipped
        self.refused += other.refused
        self.wrong += other.wrong

    def judge(self, kind: str, name: str, data: bytes, holds: Callable[[bytes], bool]) -> None:
        """Flips each bit. What is whole comes last, for a reader of tiles keeps what it has proven."""
        self.flipped[kind] += 8 * len(data)
        for bit, flipped in enumerate(flips(data)):
            if is_accepted(flipped, holds):
                self.wrong.append(f"{kind}: {name} is accepted with bit {bit} flipped")
            else:
                self.refused[kind] += 1
        if is_accepted(data, holds):
            self.accepted[kind] += 1
        else:
            self.wrong.append(f"{kind}: {name} is refused")


def flips(data: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def is_accepted(data: bytes, holds: Callable[[bytes], bool]) -> bool:
    """ValueError is how the library refuses. Any other exception is a fault, and ends everything."""
    try:
        return holds(data)
    except ValueError:
        return False


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


# --- Checkpoints, receipts, consistency -------------------------------------------------------------------------------


def is_signed(note: bytes) -> bool:
    return tlog.verify_checkpoint(tlog.parse_note(note), KEY, expected_origin=KEY.name).ok


def of_note(name: str) -> Iterator[Case]:
    lines = NOTES[name].decode().split("\n")  # origin, size, root, "", signature, ""
    start, _, signature = lines[4].rpartition(" ")

    def with_line(number: int, line: str) -> bool:
        return is_signed("\n".join([*lines[:number], line, *lines[number + 1 :]]).encode())

    yield "checkpoints", f"{name}, as it was served", NOTES[name], is_signed
    yield "checkpoints", f"{name}: the root", decode(lines[2]), lambda data: with_line(2, encode(data))
    yield (
        "checkpoints",
        f"{name}: the signature",
        decode(signature),
        lambda data: with_line(4, f"{start} {encode(data)}"),
    )


def entry(salt: bytes, body: bytes) -> bytes:
    """What the log holds of an event: docs/proofs.md, A leaf."""
    return hashlib.sha256(b"training-consent-event/v1\n" + salt + body).digest()


def entry_of(receipt: dict[str, Any]) -> bytes:
    return entry(decode(receipt["salt"]), receipt["body"].encode())


def of_receipt(receipt: dict[str, Any]) -> Iterator[Case]:
    index, salt, body = receipt["index"], decode(receipt["salt"]), receipt["body"].encode()
    proof = [decode(each) for each in receipt["proof"]]
    leaf, name = entry_of(receipt), f"leaf {index}"

    def included(leaf: bytes, proof: list[bytes] = proof, root: bytes = NEW.root) -> bool:
        return tlog.verify_leaf_inclusion(leaf, index, NEW.size, proof, root)

    yield "receipts", f"{name}: the salt", salt, lambda data: included(entry(data, body))
    yield "receipts", f"{name}: the event", body, lambda data: included(entry(salt, data))
    yield "receipts", f"{name}: the root", NEW.root, lambda data: included(leaf, root=data)
    for n, each in enumerate(proof):
        yield "receipts", f"{name}: hash {n}", each, lambda data, n=n: included(leaf, replaced(proof, n, data))


def replaced(hashes: list[Any], n: int, other: object) -> list[Any]:
    return [*hashes[:n], other, *hashes[n + 1 :]]


def bundle_of(receipt: dict[str, Any]) -> tlog.Bundle:
    """The receipt in aics-tlog's own form, which has a place for the entry, but none for the event and its salt."""
    proof = tuple(decode(each) for each in receipt["proof"])
    return tlog.Bundle(entry_of(receipt), receipt["index"], proof, receipt["checkpoint"])


def of_bundle(receipt: dict[str, Any]) -> Iterator[Case]:
    bundle, name = bundle_of(receipt).to_dict(), f"bundle of leaf {receipt['index']}"
    hashes = bundle["inclusion_proof"]

    def holds(**changed: object) -> bool:
        return tlog.verify_bundle(bundle | changed, KEY, expected_origin=KEY.name).ok

    for part in ("entry_bytes", "checkpoint_note"):
        yield (
            "bundles",
            f"{name}: {part}",
            u64_decode(bundle[part]),
            lambda data, p=part: holds(**{p: u64_encode(data)}),
        )
    for n, each in enumerate(hashes):
        yield (
            "bundles", f"{name}: hash {n}", decode(each),
            lambda data, n=n: holds(inclusion_proof=replaced(hashes, n, encode(data))),
        )  # fmt: skip


def of_consistency() -> Iterator[Case]:
    proof = tlog.consistency_proof_from_tiles(fetched(NEW), OLD.size, NEW.size)

    def consistent(old: bytes = OLD.root, new: bytes = NEW.root, proof: list[bytes] = proof) -> bool:
        return tlog.verify_consistency(OLD.size, NEW.size, old, new, proof)

    yield "consistency", "the older root", OLD.root, lambda data: consistent(old=data)
    yield "consistency", "the newer root", NEW.root, lambda data: consistent(new=data)
    for n, each in enumerate(proof):
        yield "consistency", f"hash {n}", each, lambda data, n=n: consistent(proof=replaced(proof, n, data))


# --- Tiles ------------------------------------------------------------------------------------------------------------

Place = tuple[int, int, int | None]  # level, number, width: None for a full tile


def places(size: int) -> Iterator[Place]:
    level = 0
    while count := size // TILE**level:
        yield from ((level, number, None) for number in range(count // TILE))
        if count % TILE:
            yield level, count // TILE, count % TILE
        level += 1


def fetched(head: tlog.Checkpoint) -> tlog.MemoryTileReader:
    """All tiles and entries of a tree, over HTTP. Raises unless each is as it was signed."""
    reader, found = tlog.HttpTileReader(LOG), {}
    for level, number, width in places(head.size):
        found[tile_path(level, number, width)] = reader.read_tile(level, number, width)
        if level == 0:
            found[entry_bundle_path(number, width)] = reader.read_entry_bundle(number, width)
    tiles = tlog.MemoryTileReader(found)
    tlog.audit_tiles(tiles, head.size, head.root)
    return tiles


def of_tile(level: int, number: int, width: int | None) -> Iterator[Case]:
    tiles, path = fetched(NEW), tile_path(level, number, width)
    reader = tlog.VerifiedTileReader(tiles, NEW.size, NEW.root)

    def is_proven(data: bytes) -> bool:
        tiles.tiles[path] = data
        return reader.read_tile(level, number, width) == data

    yield "tiles", path, tiles.tiles[path], is_proven


def of_entries(number: int, width: int | None) -> Iterator[Case]:
    tiles, path = fetched(NEW), entry_bundle_path(number, width)
    reader = tlog.VerifiedTileReader(tiles, NEW.size, NEW.root)

    def is_proven(data: bytes) -> bool:
        tiles.tiles[path] = data
        return reader.read_entry_bundle(number, width) == data

    yield "entries", path, tiles.tiles[path], is_proven


def overlooked() -> list[str]:
    """The tiles of which verify-checkpoint, which looks for the root alone, accepts a flipped bit."""
    tiles, found = fetched(NEW), []
    for path, whole in tiles.tiles.items():
        tiles.tiles[path] = next(flips(whole))
        if is_accepted(b"", lambda _: tlog.VerifiedTileReader(tiles, NEW.size, NEW.root).check_root() is None):
            found.append(path)
        tiles.tiles[path] = whole
    return found


# --- The program, over HTTP -------------------------------------------------------------------------------------------


def run(verdicts: Verdicts, command: str, *arguments: str) -> dict[str, Any]:
    """Run aics-tlog, which has to find everything right; returns what it says."""
    program = [str(Path(sys.executable).parent / "aics-tlog"), command, *arguments]
    program += ["--vkey-file", str(KEPT / "key"), "--origin", KEY.name]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    said: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"error": done.stderr}
    if done.returncode == 0 and said.get("ok") is True:
        verdicts.accepted[f"aics-tlog {command}"] += 1
    else:
        verdicts.wrong.append(f"{command} {' '.join(arguments)}: {said.get('error')}")
    return said


def over_http() -> Verdicts:
    verdicts, old, tiles = Verdicts(), str(KEPT / "old"), ("--tiles", LOG)
    run(verdicts, "verify-checkpoint", *tiles)
    run(verdicts, "verify-checkpoint", *tiles, "--note", old)
    run(verdicts, "verify-consistency", *tiles, "--old-checkpoint", old)
    run(verdicts, "verify-inclusion", *tiles, "--index", str(OLD.size - 1), "--checkpoint", old)
    for receipt in RECEIPTS:
        said = run(verdicts, "verify-inclusion", *tiles, "--index", str(receipt["index"]))
        if said.get("leaf_hash") != tlog.leaf_hash(entry_of(receipt)).hex():
            verdicts.wrong.append(f"leaf {receipt['index']} is not that of its receipt")
        (KEPT / "bundle.json").write_text(bundle_of(receipt).to_json(), encoding="utf-8")
        run(verdicts, "verify-bundle", "--offline", "--bundle", str(KEPT / "bundle.json"))
    return verdicts


# --- All of it --------------------------------------------------------------------------------------------------------


def work(job: tuple[Callable[..., Iterator[Case]], tuple[Any, ...]]) -> Verdicts:
    cases, arguments = job
    verdicts = Verdicts()
    for case in cases(*arguments):
        verdicts.judge(*case)
    return verdicts


def jobs() -> Iterator[tuple[Callable[..., Iterator[Case]], tuple[Any, ...]]]:
    """The longest first. To refuse a bit of a full tile takes hundreds of hashes: one such tile stands for all."""
    yield from ((of_tile, place) for place in places(NEW.size) if place[1] == 0 or place[2] is not None)
    yield of_entries, (NEW.size // TILE, NEW.size % TILE)
    yield from ((of_receipt, (receipt,)) for receipt in RECEIPTS)
    yield from ((of_bundle, (receipt,)) for receipt in (RECEIPTS[0], RECEIPTS[-1]))
    yield from ((of_note, (name,)) for name in NOTES)
    yield of_consistency, ()


def report(verdicts: Verdicts, seconds: float) -> None:
    print(f"aics-tlog {tlog.__version__}: a log of {NEW.size} events, and its checkpoint of {OLD.size} before")
    for kind, count in verdicts.accepted.items():
        flipped = f", {verdicts.flipped[kind]:>7,} flips, {verdicts.refused[kind]:>7,} refused"
        print(f"  {kind:<28} {count:>3} accepted{flipped if verdicts.flipped[kind] else ''}")
    flipped, refused = verdicts.flipped.total(), verdicts.refused.total()
    print(f"{flipped:,} flips, {refused:,} refused; {len(verdicts.wrong)} wrong verdicts; {seconds:.0f} s")
    if missed := overlooked():
        print(
            f"Not refused by verify-checkpoint alone, which reads the tree's right edge: flips in {', '.join(missed)}"
        )
    for each in verdicts.wrong[:20]:
        print(f"WRONG: {each}")


def main() -> int:
    started, verdicts = time.monotonic(), Verdicts()
    with ProcessPoolExecutor() as pool:
        found = pool.map(work, jobs())
        verdicts.add(over_http())
        for each in found:
            verdicts.add(each)
    report(verdicts, time.monotonic() - started)
    return 1 if verdicts.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
