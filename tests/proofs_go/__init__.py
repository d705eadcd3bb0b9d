"""Logs, receipts and proofs of ours, checked by Go's own libraries: `make test-proofs`."""
