"""`python -m consent.proofs …`: checks receipts and checkpoints without Django, settings or a database."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
