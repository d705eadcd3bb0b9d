"""Snapshots of all consent at a position of the ledger, for the pipeline: what was so then, told by events alone."""
