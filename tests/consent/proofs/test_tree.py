"""The Merkle tree: as RFC 6962 defines it, as another implementation verifies it, and no bit of a proof may differ."""

import functools
import hashlib
import random

import metamorphic_log
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.proofs import tree
from consent.proofs.errors import ProofError

SIZES = [1, 2, 3, 255, 256, 257, 65_535, 65_536, 65_537]
LARGEST = 70_000


@functools.cache
def _levels():
    """The complete subtrees of LARGEST leaves, by level."""
    found = [[tree.leaf_hash(b"%d" % n) for n in range(LARGEST)]]
    while len(found[-1]) > 1:
        below = found[-1]
        found.append([tree.node_hash(below[n], below[n + 1]) for n in range(0, len(below) - 1, 2)])
    return found


def _reader(size):
    """Reads the first `size` leaves alone: an incomplete subtree is never asked for."""

    def read(level, index):
        assert (index + 1) << level <= size, "a subtree that the tree does not have"
        return _levels()[level][index]

    return read


def _root(size):
    return tree.root(_reader(size), size)


def _by_definition(leaves):
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + _by_definition(leaves[:k]) + _by_definition(leaves[k:])).digest()


def test_leaf_hash__of_entries__as_rfc_6962_says():
    assert tree.leaf_hash(b"") == hashlib.sha256(b"\0").digest()
    assert tree.EMPTY_ROOT == hashlib.sha256(b"").digest() == tree.root(_reader(0), 0)


@pytest.mark.parametrize("size", [*range(1, 70), *SIZES])
def test_root__of_each_size__by_definition(size):
    assert _root(size) == _by_definition(_levels()[0][:size])


def _indexes(size):
    chosen = random.Random(size).sample(range(size), min(size, 20))  # noqa: S311
    return sorted({0, size // 2, size - 1, *chosen})


@pytest.mark.parametrize("size", [*range(1, 20), *SIZES])
def test_inclusion__of_each_size__verified_by_both(size):
    for index in _indexes(size):
        proof, leaf = tree.inclusion(_reader(size), index, size), _levels()[0][index]
        tree.verify_inclusion(leaf, index, size, proof, _root(size))
        metamorphic_log.verify_inclusion(index, size, leaf, proof, _root(size))


@pytest.mark.parametrize("new", [*range(1, 20), *SIZES])
def test_consistency__of_each_pair__verified_by_both(new):
    for old in sorted({*SIZES, *_indexes(new), new}):
        if 0 < old <= new:
            proof = tree.consistency(_reader(new), old, new)
            tree.verify_consistency(old, new, proof, _root(old), _root(new))
            metamorphic_log.verify_consistency(old, new, proof, _root(old), _root(new))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_proofs__of_random_trees__verified_by_both(data):
    new = data.draw(st.integers(1, LARGEST))
    old, index = data.draw(st.integers(1, new)), data.draw(st.integers(0, new - 1))
    proof, leaf = tree.inclusion(_reader(new), index, new), _levels()[0][index]
    tree.verify_inclusion(leaf, index, new, proof, _root(new))
    metamorphic_log.verify_inclusion(index, new, leaf, proof, _root(new))
    proof = tree.consistency(_reader(new), old, new)
    tree.verify_consistency(old, new, proof, _root(old), _root(new))
    metamorphic_log.verify_consistency(old, new, proof, _root(old), _root(new))


def _flips(value):
    for bit in range(len(value) * 8):
        yield (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(len(value), "big")


def _altered(proof):
    """Each bit of each hash flipped, then hashes missing, doubled, too many, of another length, or swapped."""
    for place, each in enumerate(proof):
        for flipped in _flips(each):
            yield [*proof[:place], flipped, *proof[place + 1 :]]
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[: place + 1], *proof[place:]]
        yield [*proof[:place], each[:-1], *proof[place + 1 :]]
    yield [*proof, bytes(32)]
    if len(proof) > 1:
        yield proof[::-1]


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (1, 3), (2, 3), (200, 257), (256, 257), (65_536, 65_537)])
def test_verify_inclusion__anything_altered__refused(index, size):
    proof, leaf, root = tree.inclusion(_reader(size), index, size), _levels()[0][index], _root(size)
    cases = [(leaf, index, size, each, root) for each in _altered(proof)]
    cases += [(each, index, size, proof, root) for each in _flips(leaf)]
    cases += [(leaf, index, size, proof, each) for each in _flips(root)]
    cases += [(leaf, each, size, proof, root) for each in (index - 1, index + 1, -1, size) if each != index]
    for case in cases:
        with pytest.raises(ProofError):
            tree.verify_inclusion(*case)


@pytest.mark.parametrize(("old", "new"), [(0, 3), (1, 2), (2, 3), (3, 3), (200, 257), (256, 257), (65_535, 65_537)])
def test_verify_consistency__anything_altered__refused(old, new):
    proof, old_root, new_root = tree.consistency(_reader(new), old, new), _root(old), _root(new)
    tree.verify_consistency(old, new, proof, old_root, new_root)
    cases = [(old, new, each, old_root, new_root) for each in _altered(proof)]
    cases += [(old, new, proof, each, new_root) for each in _flips(old_root)]
    if old:  # every tree begins with the empty one
        cases += [(old, new, proof, old_root, each) for each in _flips(new_root)]
    cases += [(new + 1, new, proof, old_root, new_root), (-1, new, proof, old_root, new_root)]
    cases += [(each, new, proof, old_root, new_root) for each in (old - 1, old + 1) if 0 <= each <= new]
    for case in cases:
        with pytest.raises(ProofError):
            tree.verify_consistency(*case)


def test_verify_inclusion__wrong_sizes__refused_unless_the_proof_is_the_same():
    """A proof may hold for other sizes with the same root only by a collision: the root decides."""
    for size in range(1, 40):
        for index in range(size):
            proof, leaf = tree.inclusion(_reader(size), index, size), _levels()[0][index]
            for other in {*range(1, 40)} - {size}:
                with pytest.raises(ProofError):
                    tree.verify_inclusion(leaf, index, other, proof, _root(other))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_inclusion__no_such_leaf__refused(index, size):
    with pytest.raises(ProofError, match="no leaf"):
        tree.inclusion(_reader(size), index, size)


@pytest.mark.parametrize(("old", "new"), [(4, 3), (-1, 3)])
def test_consistency__sizes_that_cannot_be__refused(old, new):
    with pytest.raises(ProofError, match="not the beginning"):
        tree.consistency(_reader(3), old, new)
