"""How the portal is put together and served: settings, URLs, the ASGI and WSGI applications, middleware, databases.

A few modules are tools that the apps import (errors as problem+json, request ids, strict JSON, media types, limits of
uploads and time); they know nothing of the apps.
"""
