"""WSGI application, for any WSGI server."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

# What is there now stays: the collector need not look at it again and again, nor at every few hundred answers of a
# batch, which are gone by reference counting once it is sent.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 50)
