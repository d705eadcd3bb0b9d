"""Settings of the comparison side of decisions: a constant view, and a view in the style of the framework's tutorial.

Use DJANGO_SETTINGS_MODULE=benchmarks.naive, or benchmarks.floor for no middleware. The views: benchmarks.naive_urls.
"""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.naive_urls"
WSGI_APPLICATION = None
# The middleware of a project that `startproject` creates.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# Nobody signs in here, so leave out allauth, which needs its own middleware, and the admin site, which needs allauth.
_NOT = ("allauth", "config.admin")
INSTALLED_APPS = [app for app in INSTALLED_APPS if not app.startswith(_NOT)]  # noqa: F405
