"""Signed notes and checkpoints: as C2SP's example and another implementation have them, and no bit may differ."""

import base64

import metamorphic_log
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.proofs import note, tree
from consent.proofs.encoding import encode
from consent.proofs.errors import ProofError
from consent.proofs.note import Checkpoint, Signer, Verifier

# Of the documentation of Go's golang.org/x/mod/sumdb/note.
GO_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = GO_TEXT + (
    "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ORIGIN = "portal.example/log"
SIGNER = Signer(ORIGIN, bytes(range(32)))
OTHER = Signer("witness.example", bytes(32))
KEYS = [SIGNER.verifier]
CHECKPOINT = Checkpoint(ORIGIN, 257, tree.leaf_hash(b"root"))
NOTE = note.sign(CHECKPOINT.text(), SIGNER)
LINE = NOTE.splitlines()[-1]


def _line(signer, text, data=None):
    return f"— {signer.name} {encode(data or signer.key_id + signer.sign(text.encode()))}\n"


# --- Keys -------------------------------------------------------------------------------------------------------------


def test_go__key_note_and_verifier__the_same_here():
    signer = Signer.parse(GO_SIGNER)
    assert signer.private_text() == GO_SIGNER and str(signer.verifier) == GO_VERIFIER
    assert note.sign(GO_TEXT, signer) == GO_NOTE
    assert note.open_note(GO_NOTE, [Verifier.parse(GO_VERIFIER)]).text == GO_TEXT


def test_generate__text_of_the_key__the_same_key():
    made = Signer.generate(ORIGIN)
    read = Signer.parse(made.private_text())
    assert read.verifier == made.verifier == Verifier.parse(f" {made.verifier}\n")
    assert made.private_text() not in repr(made) and repr(made) == f"<Signer {ORIGIN}+{made.key_id.hex()}>"


def _flipped(text):
    """A text with one bit changed of what each part stands for: name, hash, and the bytes in Base64."""
    name, key_id, key = text.split("+", 2)
    yield f"{name}x+{key_id}+{key}"
    yield f"{name}+{int(key_id, 16) ^ 1:08x}+{key}"
    for place in range(33 * 8):
        data = (int.from_bytes(base64.b64decode(key), "big") ^ 1 << place).to_bytes(33, "big")
        yield f"{name}+{key_id}+{encode(data)}"


def test_verifier__any_bit_flipped__refused():
    for text in _flipped(str(SIGNER.verifier)):
        with pytest.raises(ProofError):
            Verifier.parse(text)


def test_signer__any_bit_flipped__refused_without_showing_it():
    for text in _flipped(SIGNER.private_text().removeprefix("PRIVATE+KEY+")):
        with pytest.raises(ProofError) as refused:
            Signer.parse(f"PRIVATE+KEY+{text}")
        assert text[-10:] not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a+b", "a+b+c", "+00000000+AQ==", f"a+00000000+{encode(b'x' * 33)}", f"a+00000000+{encode(b'1' * 32)}"],
)
def test_keys__of_another_form__refused(text):
    for parse in (Verifier.parse, Signer.parse, lambda text: Signer.parse(f"PRIVATE+KEY+{text}")):
        with pytest.raises(ProofError):
            parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x01"])
def test_keys__name_that_a_line_cannot_hold__refused(name):
    with pytest.raises(ProofError, match="name of a key"):
        Signer(name, bytes(32))


# --- Notes ------------------------------------------------------------------------------------------------------------


def test_checkpoint__read_by_metamorphic_log__the_same():
    head = metamorphic_log.checkpoint_verify(NOTE, [str(SIGNER.verifier)])
    assert (head.origin, head.size, head.root, head.extensions) == (ORIGIN, 257, CHECKPOINT.root, [])
    assert note.open_checkpoint(NOTE, KEYS) == CHECKPOINT


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=[*map(chr, range(32))])))
def test_note__of_any_text__opens(text):
    assert note.open_note(note.sign(f"{text}\n", SIGNER), KEYS) == (f"{text}\n", (SIGNER.verifier,))


def test_note__text_with_empty_lines__the_last_one_divides():
    assert note.open_note(note.sign("a\n\n\nb\n", SIGNER), KEYS).text == "a\n\n\nb\n"


def test_note__lines_of_unknown_keys__passed_over():
    text = CHECKPOINT.text()
    unknown = [
        _line(OTHER, text),
        _line(SIGNER, text, b"\1\2\3\4" + bytes(64)),  # the same name, another key
        _line(OTHER, text, SIGNER.key_id + bytes(2420)),  # the same id, another name: of a longer signature
    ]
    signed = f"{text}\n{''.join(unknown)}{LINE}\n{_line(OTHER, text)}"
    assert note.open_checkpoint(signed, KEYS) == CHECKPOINT
    assert note.open_note(signed, [SIGNER.verifier, OTHER.verifier]).verified == (OTHER.verifier, SIGNER.verifier)


def test_note__no_line_of_a_known_key__refused():
    with pytest.raises(ProofError, match="None of the keys"):
        note.open_note(NOTE, [OTHER.verifier])
    with pytest.raises(ProofError, match="None of the keys"):
        note.open_note(NOTE, [])


def test_note__one_known_line_that_does_not_hold__refused_as_a_whole():
    text = CHECKPOINT.text()
    for wrong in (SIGNER.key_id + bytes(64), SIGNER.key_id + b"x"):
        for signed in (f"{NOTE}{_line(SIGNER, text, wrong)}", f"{text}\n{_line(SIGNER, text, wrong)}{LINE}\n"):
            with pytest.raises(ProofError, match="does not hold"):
                note.open_note(signed, KEYS)


def test_checkpoint__every_bit_of_the_text_and_of_the_signature__refused():
    """Each bit of the characters, unused bits of Base64 included; and each bit of what the Base64 stands for."""
    data = NOTE.encode()
    refused = 0
    for bit in range(len(data) * 8):
        altered = bytearray(data)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProofError):
            note.open_checkpoint(altered.decode("utf-8", "surrogateescape"), KEYS)
        refused += 1
    signature = SIGNER.key_id + SIGNER.sign(CHECKPOINT.text().encode())
    for bit in range(len(signature) * 8):
        altered = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(len(signature), "big")
        with pytest.raises(ProofError):
            note.open_checkpoint(f"{CHECKPOINT.text()}\n{_line(SIGNER, '', altered)}", KEYS)
        refused += 1
    assert refused == len(data) * 8 + 68 * 8


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "\n",
        "\n\n",
        CHECKPOINT.text(),
        CHECKPOINT.text() + "\n",
        NOTE.removesuffix("\n"),
        NOTE + "\n",
        NOTE + "x",
        NOTE + "— a\n",
        NOTE + "— a \n",
        NOTE + "—  AAAAAAA=\n",
        NOTE + "- a AAAAAAA=\n",
        NOTE + "— a AAAAAA==\n",  # no signature after the id
        NOTE + "— a AAAAAAB=\n",  # unused bits of the Base64 that are not zero
        NOTE + "— a AAAA AAA=\n",
        NOTE + "— a+b AAAAAAA=\n",
        NOTE.replace("\n", "\r\n"),
        NOTE.replace(ORIGIN, ORIGIN + "\t"),
        NOTE + "— a AAAAAAA=\n" * 100,
        "x" * 1_000_000 + NOTE,
    ],
)
def test_note__malformed__refused(malformed):
    with pytest.raises(ProofError):
        note.open_note(malformed, KEYS)


def test_note__sixteen_signatures__accepted():
    assert note.open_checkpoint(NOTE + "— a AAAAAAA=\n" * 15, KEYS) == CHECKPOINT


@pytest.mark.parametrize("text", ["", "a", "a\r\n", "a\0\n", "\ud800\n"])
def test_sign__text_that_a_note_cannot_hold__refused(text):
    with pytest.raises(ProofError):
        note.sign(text, SIGNER)


def test_sign__signer_that_gives_no_signature__refused():
    class Broken:
        name, key_id = ORIGIN, SIGNER.key_id

        def sign(self, message):
            return message[:10]

    with pytest.raises(ProofError, match="not a signature"):
        note.sign(CHECKPOINT.text(), Broken())


# --- Checkpoints ------------------------------------------------------------------------------------------------------

ROOT = encode(CHECKPOINT.root)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{ORIGIN}\n257\n{ROOT}",
        f"\n257\n{ROOT}\n",
        f"{ORIGIN}\n0257\n{ROOT}\n",
        f"{ORIGIN}\n+257\n{ROOT}\n",
        f"{ORIGIN}\n-1\n{ROOT}\n",
        f"{ORIGIN}\n２５７\n{ROOT}\n",
        f"{ORIGIN}\n{2**63}\n{ROOT}\n",
        f"{ORIGIN}\n257\n{ROOT[:-4]}\n",
        f"{ORIGIN}\n257\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n257\n{ROOT}\nextension\n",
        f"{ORIGIN}\n257\n",
    ],
)
def test_checkpoint__of_another_form__refused(text):
    with pytest.raises(ProofError):
        Checkpoint.parse(text)


def test_checkpoint__its_text__parsed():
    assert Checkpoint.parse(CHECKPOINT.text()) == CHECKPOINT
    assert Checkpoint.parse(Checkpoint("a", 0, tree.EMPTY_ROOT).text()).size == 0


def test_open_checkpoint__signed_by_a_key_of_another_name__refused():
    with pytest.raises(ProofError, match="no key of that name"):
        note.open_checkpoint(note.sign(CHECKPOINT.text(), OTHER), [OTHER.verifier])


def test_consistency_of_checkpoints__by_metamorphic_log__verified():
    leaves = [tree.leaf_hash(b"%d" % n) for n in range(8)]

    def read(level, index):
        if level == 0:
            return leaves[index]
        return tree.node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1))

    older, newer = (note.sign(Checkpoint(ORIGIN, size, tree.root(read, size)).text(), SIGNER) for size in (5, 8))
    keys = [str(SIGNER.verifier)]
    metamorphic_log.checkpoint_verify_consistency(older, newer, keys, tree.consistency(read, 5, 8))
    metamorphic_log.checkpoint_verify_inclusion(newer, keys, 3, leaves[3], tree.inclusion(read, 3, 8))
