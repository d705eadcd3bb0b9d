"""Removes secrets of links from the log: Django logs the path of each request that it refuses."""

import logging
import re

# Paths whose next part is the secret of an invitation or of a password reset.
_SECRET_PATH = re.compile(r"(/invitations/|/account/reset/)[^/\s?\"']+")


class LinkFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if _SECRET_PATH.search(message):
            record.msg, record.args = _SECRET_PATH.sub(r"\1…", message), ()
        return True
