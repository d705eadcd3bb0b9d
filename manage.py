#!/usr/bin/env python
"""Entry point of the portal's management commands."""

import os
import sys

from django.core.management import execute_from_command_line

from accounts.management.program import INTERRUPTED, until_the_pipe_breaks


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    execute_from_command_line(sys.argv)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(until_the_pipe_breaks(main))
    except KeyboardInterrupt:  # before a command was there to say so
        sys.exit(INTERRUPTED)
