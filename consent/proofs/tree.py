"""The Merkle tree of RFC 6962 and RFC 9162 over SHA-256: roots, proofs, and their verification.

A tree is read by a function `read(level, index)`: the hash of the complete subtree of 2**level leaves that begins at
leaf index × 2**level; level 0 has the leaf hashes. It is asked for complete subtrees of the tree alone, so a tree of
any size is read from a store that keeps no more than these.
"""

import hashlib
from collections.abc import Callable, Sequence

from .encoding import HASH
from .errors import ProofError

Read = Callable[[int, int], bytes]

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf that holds `entry`: 32 bytes."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node above two subtrees: 32 bytes."""
    return hashlib.sha256(b"\1" + left + right).digest()


def subtree(hashes: Sequence[bytes]) -> bytes:
    """The hash above a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[n], hashes[n + 1]) for n in range(0, len(hashes), 2)]
    return hashes[0]


# --- Made from a tree -------------------------------------------------------------------------------------------------


def root(read: Read, size: int) -> bytes:
    """The root hash of the first `size` leaves; that of no leaves is EMPTY_ROOT."""
    return _range(read, 0, size) if size else EMPTY_ROOT


def inclusion(read: Read, index: int, size: int) -> list[bytes]:
    """The proof that leaf `index`, counted from 0, is in the tree of `size` leaves: hashes from the leaf upwards.

    Raises ProofError if there is no such leaf.
    """
    if not 0 <= index < size:
        raise ProofError(f"A tree of {size} leaves has no leaf {index}.")
    proof = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left(end - start)
        if index < middle:
            proof.append(_range(read, middle, end))
            end = middle
        else:
            proof.append(_range(read, start, middle))
            start = middle
    return proof[::-1]


def consistency(read: Read, old: int, new: int) -> list[bytes]:
    """The proof that the tree of `old` leaves is the beginning of the one of `new` leaves.

    It is empty where both are the same, and for `old` = 0: every tree begins with the empty one. Raises ProofError if
    `new` is smaller.
    """
    if not 0 <= old <= new:
        raise ProofError(f"A tree of {old} leaves is not the beginning of one of {new} leaves.")
    if old in {0, new}:
        return []
    proof = []
    start, end = 0, new
    while end != old:
        middle = start + _left(end - start)
        if old <= middle:
            proof.append(_range(read, middle, end))
            end = middle
        else:
            proof.append(_range(read, start, middle))
            start = middle
    if start:  # else the verifier knows it: it is the old root
        proof.append(_range(read, start, end))
    return proof[::-1]


def _left(size: int) -> int:
    """How many of `size` ≥ 2 leaves are in the left subtree: the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _range(read: Read, start: int, end: int) -> bytes:
    """The hash over the leaves from `start` to before `end`; `start` is where a subtree of that many may begin."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return read(level, start >> level)
    middle = start + _left(size)
    return node_hash(_range(read, start, middle), _range(read, middle, end))


# --- Verified without the tree ----------------------------------------------------------------------------------------


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash `leaf` is at `index` of the tree with `size` leaves and this root (RFC 9162, 2.1.3.2).

    Raises ProofError if it is not, or the proof does not show it.
    """
    if not 0 <= index < size:
        raise ProofError(f"A tree of {size} leaves has no leaf {index}.")
    _require_hashes([leaf, *proof, root])
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("The inclusion proof is too long.")
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("The inclusion proof is too short.")
    if found != root:
        raise ProofError("The inclusion proof does not lead to the root of the checkpoint.")


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that the tree of `old` leaves is the beginning of the one of `new` leaves (RFC 9162, 2.1.4.2).

    Raises ProofError if it is not, or the proof does not show it.
    """
    if not 0 <= old <= new:
        raise ProofError(f"A tree of {old} leaves is not the beginning of one of {new} leaves.")
    _require_hashes([*proof, old_root, new_root])
    if old in {0, new}:
        same = old_root == (new_root if old else EMPTY_ROOT)
        if proof or not same:
            raise ProofError("Two trees of the same size, or an empty one, take no proof, and have to have one root.")
        return
    _walk_consistency(old, new, proof, old_root, new_root)


def _walk_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        raise ProofError("The consistency proof is too short.")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    found_old = found_new = path[0]
    for each in path[1:]:
        if last == 0:
            raise ProofError("The consistency proof is too long.")
        if node & 1 or node == last:
            found_old, found_new = node_hash(each, found_old), node_hash(each, found_new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found_new = node_hash(found_new, each)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("The consistency proof is too short.")
    if found_old != old_root or found_new != new_root:
        raise ProofError("The consistency proof does not lead from the one root to the other.")


def _require_hashes(values: Sequence[bytes]) -> None:
    if any(len(value) != HASH for value in values):
        raise ProofError(f"A hash of the tree is not {HASH} bytes long.")
