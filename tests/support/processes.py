"""Separate processes that run next to a test, on its database."""

import os

from django.db import connection

# Like a worker that runs jobs, with small chunks; it ends by itself.
RUNNER = """
import os, signal, sys
import django
django.setup()
from django.db import connection
from consent.jobs import engine
from consent.models.jobs import BulkJob

fragment, left = sys.argv[2], int(sys.argv[3])
engine.FIRST = engine.SMALLEST = engine.LARGEST = 4

def count(found):
    global left
    left -= found
    if found and not left:
        os.kill(os.getpid(), signal.SIGKILL)

def wrapper(execute, statement, parameters, many, context):
    result = execute(statement, parameters, many, context)
    count(bool(fragment) and fragment in statement)
    return result

with connection.execute_wrapper(wrapper):
    job = engine.claim(BulkJob.objects.get(pk=sys.argv[1]))
    engine.run(job, on_chunk=lambda _: count(not fragment))
"""


def database_url() -> str:
    """The URL of the test's own database, for a separate process."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    before, _, after = os.environ["DATABASE_URL"].partition("?")
    return f"{before.rpartition('/')[0]}/{settings['NAME']}?{after}"
