"""WSGI application, for any WSGI server."""

import gc
import os

from django.core.wsgi import get_wsgi_application

# Before the application is created, which imports the settings.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

# Tune the garbage collector. Objects loaded at start stay for ever, so exclude them from each collection. Collect less
# often than by default: the objects of a large batch response are freed by reference counting anyway.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 50)
