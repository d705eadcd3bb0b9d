"""The witness: whether this database is the one whose ledger was witnessed, or an older copy of it.

Outside the database, on another disk, the worker notes how far the ledger has come (`consent.proofs.witness`). A
database that is behind what was noted was restored from a backup: until an operator adopts it, it is in quarantine,
where nothing is allowed and nothing can be loosened. `guard` answers for this connection, `keeper` writes the lines.
"""
