"""WSGI application, for any WSGI server."""

import gc
import os

import django

# Before Django is set up, which imports the settings.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from .fast_path import Handler  # noqa: E402

application = Handler()

# Tune the garbage collector. Objects loaded at start stay for ever, so exclude them from each collection. Collect less
# often than by default: the objects of a large batch response are freed by reference counting anyway.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)
