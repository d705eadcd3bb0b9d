"""What the transparency log of the ledger is made of: Merkle tree, signed notes, the leaf of an event.

Pure: no Django, no settings, nothing else of the portal, so that whoever holds a proof can check it anywhere. It needs
the package `cryptography` alone. docs/proofs.md describes the formats.
"""
