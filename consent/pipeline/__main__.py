"""`python -m consent.pipeline filter …`: the pipeline without Django."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
