"""What decisions are measured against: a view that does nothing, and one as a framework's tutorial would have it.

Settings and URLs in one module: DJANGO_SETTINGS_MODULE=benchmarks.naive, or benchmarks.floor without any middleware.
"""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.naive_urls"
WSGI_APPLICATION = None
# As `startproject` writes them.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# Neither side signs anybody in: allauth wants its own middleware, and the operators' site wants allauth.
_NOT = ("allauth", "config.admin")
INSTALLED_APPS = [app for app in INSTALLED_APPS if not app.startswith(_NOT)]  # noqa: F405
