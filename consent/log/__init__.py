"""The transparency log of the ledger: who rewrites, removes or reorders an event can't keep that from being found.

Each event is a leaf of a Merkle tree, at its position, blinded by a salt. The worker appends what has a position, and
signs the root from time to time. docs/proofs.md has the formats, and says what this proves and what not.
"""
