"""Receipts: whole ones hold, in both forms and for another implementation; whatever was altered proves nothing."""

import base64
import dataclasses
import json

import metamorphic_log
import pytest

from consent.proofs import leaf, tree
from consent.proofs.encoding import encode
from consent.proofs.errors import ProofError
from consent.proofs.receipt import HEADER, Receipt, check, verify
from tests.support import proofs
from tests.support.proofs import REASON, SIGNER, VKEY

KEYS = [SIGNER.verifier]
TEXT = proofs.receipt().text()
DATA = proofs.receipt().data(SIGNER.verifier)


def _holds(data):
    return verify(Receipt.parse(data if isinstance(data, bytes) else data.encode()), KEYS)


def _refused(data):
    with pytest.raises(ProofError):
        _holds(data)


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (1, 2), (41, 300), (255, 256), (256, 300), (299, 300)])
def test_receipt__whole__holds_in_both_forms(index, size, words):
    receipt = proofs.receipt(index, size, words=words)
    for data in (receipt.text(), json.dumps(receipt.data(SIGNER.verifier), indent=2)):
        assert Receipt.parse(data.encode()) == receipt
        verified = _holds(data)
        assert verified.fields["position"] == str(index + 1) and verified.checkpoint.size == size
    assert [each.problem for each in check(receipt, KEYS)] == [""] * 4


def test_text__read_as_c2sp_says__verified_by_metamorphic_log():
    head, _blank, checkpoint = TEXT.partition("\n\n")
    first, extra, index, *proof = head.split("\n")
    assert first == HEADER
    said = json.loads(base64.b64decode(extra.removeprefix("extra ")))
    entry = leaf.entry(base64.b64decode(said["salt"]), said["body"])
    metamorphic_log.checkpoint_verify_inclusion(
        checkpoint,
        [VKEY],
        int(index.removeprefix("index ")),
        tree.leaf_hash(entry),
        [base64.b64decode(each) for each in proof],
    )


def test_words__left_out__the_rest_holds():
    receipt = proofs.receipt(words=False)
    assert REASON not in receipt.text() and json.loads(receipt.body)["reason"] in json.dumps(DATA)
    assert _holds(receipt.text()).fields["reason"] == json.loads(receipt.body)["reason"]


def _flips(value):
    for bit in range(len(value) * 8):
        altered = bytearray(value)
        altered[bit // 8] ^= 1 << bit % 8
        yield bytes(altered)


def test_text__every_bit_of_the_file__refused_but_for_lines_that_are_not_ours():
    data = TEXT.encode()
    ours = len(data) - len(TEXT.splitlines()[-1].encode()) - 1
    refused = 0
    for flipped in _flips(data[:ours]):
        _refused(flipped + data[ours:])
        refused += 1
    assert refused == ours * 8 > 13_000


def test_text__every_bit_of_what_its_base64_stands_for__refused():
    lines = TEXT.split("\n")
    refused = 0
    for place, line in enumerate(lines[: lines.index("")]):
        start, value = ("extra ", line.removeprefix("extra ")) if place == 1 else ("", line)
        if place in {0, 2}:
            continue
        for flipped in _flips(base64.b64decode(value)):
            _refused("\n".join([*lines[:place], start + encode(flipped), *lines[place + 1 :]]))
            refused += 1
    assert refused > 9 * 256


def test_index__another__refused():
    for index in (0, 40, 42, 299, 300, 2**62):
        _refused(TEXT.replace("index 41", f"index {index}"))
    _refused(TEXT.replace("index 41", "index 041"))


def _texts(value, path=()):
    """The paths to all texts in JSON."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, (*path, key))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _texts(each, (*path, place))
    else:
        yield path


def _with(path, value):
    copy = json.loads(json.dumps(DATA))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(copy)


@pytest.mark.parametrize("path", [path for path in _texts(DATA) if path != ("checkpoint",)], ids=str)
def test_json__any_value_altered__refused(path):
    before = DATA
    for step in path:
        before = before[step]
    others = [None, "", "x", 1, True, [], {}]
    if isinstance(before, str) and before:
        others += [before[:-1], before + "A", before[:-1] + chr(ord(before[-1]) ^ 1), before.upper(), before + "\n"]
    for other in others:
        if other != before or type(other) is not type(before):
            _refused(_with(path, other))


def test_json__every_bit_of_its_checkpoint__refused_but_for_lines_that_are_not_ours():
    data = DATA["checkpoint"].encode()
    ours = len(data) - len(DATA["checkpoint"].splitlines()[-1].encode()) - 1
    for flipped in _flips(data[:ours]):
        _refused(_with(["checkpoint"], (flipped + data[ours:]).decode("utf-8", "replace")))


@pytest.mark.parametrize("key", sorted(DATA))
def test_json__key_missing_or_added__refused(key):
    _refused(json.dumps({each: value for each, value in DATA.items() if each != key}))
    _refused(json.dumps({**DATA, f"{key}_": 1}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        HEADER.encode(),
        f"{HEADER}\nindex 0\n\n{proofs.checkpoint()}".encode(),
        TEXT.replace("extra ", "extra  ").encode(),
        TEXT.replace("\n", "\r\n").encode(),
        b"x" * 1_000_001,
        TEXT.replace("\n\n", "\n" + encode(bytes(32)) + "\n\n", 1).encode(),
        TEXT.replace("\n\n", ("\n" + encode(bytes(32))) * 70 + "\n\n", 1).encode(),
    ],
)
def test_file__no_receipt__refused(data):
    _refused(data)


def test_checkpoint__of_another_log_or_key__refused():
    with pytest.raises(ProofError, match="no key of that name"):
        verify(proofs.receipt(), [proofs.WITNESS.verifier])
    with pytest.raises(ProofError, match="None of the keys"):
        verify(proofs.receipt(), [])


def test_check__each_part_exchanged__says_which_step_fails():
    receipt, other = proofs.receipt(), proofs.receipt(42)
    place, words, signature, inclusion = (each.what for each in check(receipt, KEYS))
    cases = {
        (words, inclusion): {"body": receipt.body.replace("opted_out", "opted_in"), "words": {"reason": "because"}},
        (place, inclusion): {"index": 42, "proof": other.proof},
        (inclusion,): {"salt": other.salt},
        (words,): {"words_salt": other.words_salt},
        (signature,): {"checkpoint": receipt.checkpoint.replace("\n300\n", "\n299\n")},
        (signature, inclusion): {"checkpoint": receipt.checkpoint.replace("\n300\n", "\n30\n")},
    }
    for failing, changes in cases.items():
        found = check(dataclasses.replace(receipt, **changes), KEYS)
        assert tuple(each.what for each in found if each.problem) == failing


def test_words__of_a_field_without_any__refused():
    extra = {"body": proofs.receipt().body, "salt": encode(proofs.receipt().salt), "words_salt": encode(bytes(32))}
    for words in ({"reference": ""}, {"reference": "x"}, {"choice": "x"}, {}):
        lines = TEXT.split("\n")
        lines[1] = f"extra {encode(leaf.body({**extra, **words}).encode())}"
        _refused("\n".join(lines))
