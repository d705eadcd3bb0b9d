"""What is derived from the ledger: followers that read its events in position order."""
