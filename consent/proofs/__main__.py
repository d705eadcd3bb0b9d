"""`python -m consent.proofs verify-receipt …`: checks a receipt without Django, settings or a database."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
