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

# Nobody signs in here, so leave out allauth's accounts, which need their own middleware, and the admin site, which
# needs them. Its models of sessions and second factors stay: the services that apply imports read them.
_NOT = ("allauth.account", "config.admin")
INSTALLED_APPS = [app for app in INSTALLED_APPS if not app.startswith(_NOT)]  # noqa: F405
