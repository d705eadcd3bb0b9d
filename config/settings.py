"""Settings, all from the environment or `.env`; `.env.example` documents every one of them."""

from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from .durations import parse_duration
from .secret_files import from_file

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
environ.Env.read_env(env.str("ENV_FILE", default=str(BASE_DIR / ".env")))

DEBUG = env.bool("DEBUG", default=False)
HTTPS = env.bool("HTTPS", default=not DEBUG)
SECRET_KEY = env.str("SECRET_KEY")
# The HMAC key for the hashes of API keys; separate from SECRET_KEY, so that each can be rotated alone.
API_KEY_PEPPER = env.str("API_KEY_PEPPER")
# Lists, for rotation: the first key is used for new data, all are accepted for old data; see accounts/keys.py.
ENCRYPTION_KEYS = [key for each in env.list("ENCRYPTION_KEYS", default=[]) if (key := each.strip())]
WEBHOOK_KEYS = [key for each in env.list("WEBHOOK_KEYS", default=[]) if (key := each.strip())]
# Signs the manifests of snapshots and training runs (Ed25519, 32 bytes in Base64); '' signs none.
MANIFEST_SIGNING_KEY = env.str("MANIFEST_SIGNING_KEY", default="").strip()
# The log of docs/proofs.md: what signs it ('' keeps none), and verifier keys of earlier signing keys.
LOG_SIGNING_KEY = from_file(env.str("LOG_SIGNING_KEY", default=""))
LOG_VERIFIER_KEY = [key for each in env.list("LOG_VERIFIER_KEY", default=[]) if (key := each.strip())]
LOG_CHECKPOINT_SECONDS = max(0, env.int("LOG_CHECKPOINT_SECONDS", default=10))  # 0: as soon as anything is new
# Whether everybody may read the log, and so how fast it grows; else operators' keys may.
LOG_PUBLIC = env.bool("LOG_PUBLIC", default=False)
# Where `export_snapshot` writes by default, and from where the API gives snapshots out; '': the API has none.
SNAPSHOT_DIR = env.str("SNAPSHOT_DIR", default="")
# Files on another disk than the database's, in which the worker notes how far the ledger has come: by them a database
# that was restored from a backup is recognised. See consent/witness.
WITNESS = [path for each in env.list("WITNESS", default=[]) if (path := each.strip())]
# Whether a write that tightens waits, for at most two seconds, until it is in those files.
WITNESS_SYNC = env.bool("WITNESS_SYNC", default=False)
# Seconds after which each process looks again whether its database is the one that was witnessed.
WITNESS_CHECK_SECONDS = max(0.0, env.float("WITNESS_CHECK_SECONDS", default=10))
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Where e-mails say that the portal is, unless PORTAL_URL says it: the first of ALLOWED_HOSTS.
_HOST = (ALLOWED_HOSTS[0] if ALLOWED_HOSTS else "").lstrip(".*") or "localhost"
_HERE = f"https://{_HOST}" if HTTPS else f"http://{_HOST}:{env.int('PORT', default=8000)}"
# The name of the log, and of its key; it never changes.
LOG_ORIGIN = env.str("LOG_ORIGIN", default="").strip() or f"{_HOST}/log"
PORTAL_URL = env.str("PORTAL_URL", default="").rstrip("/") or _HERE
# How pages name the provider ("Set by …").
PROVIDER_NAME = env.str("PROVIDER_NAME", default="") or _("the provider")
# Days after which the worker deletes the preview of a bulk job that nobody ran.
PREVIEW_DAYS = max(1, env.int("PREVIEW_DAYS", default=7))
# Private networks (CIDR) to which webhooks may be sent; all others are refused. Tests and trials allow 127.0.0.0/8.
WEBHOOK_ALLOWED_NETWORKS = env.list("WEBHOOK_ALLOWED_NETWORKS", default=[])
# Certificate authorities for webhook receivers, in addition to the system's.
WEBHOOK_CA_FILE = env.str("WEBHOOK_CA_FILE", default="")
WEBHOOKS_PER_ORGANIZATION = env.int("WEBHOOKS_PER_ORGANIZATION", default=20)
# Days after which the worker deletes the log of webhook deliveries.
ATTEMPT_DAYS = max(1, env.int("ATTEMPT_DAYS", default=30))
# Within this time every consumer has to have applied what tightened; operators are told of those that have not.
HONOUR_WITHIN = parse_duration(env.str("HONOUR_WITHIN", default="24h"))
# Days after which the positions that consumers came to are thinned out to one a day.
POSITION_DAYS = max(100, env.int("POSITION_DAYS", default=400))
# Days for which the numbers of questions asked about each organization are kept.
ASKED_DAYS = max(30, env.int("ASKED_DAYS", default=400))
# Whether questions are counted, by organization and asker.
COUNT_QUESTIONS = env.bool("COUNT_QUESTIONS", default=True)
# Seconds for which a process collects these numbers before it stores them; 0: until it is told to, or ends.
ASKED_FLUSH_SECONDS = max(0.0, env.float("ASKED_FLUSH_SECONDS", default=5))
# Days within which a removal from a training run has to be acknowledged.
REMOVAL_DEADLINE_DAYS = max(1, env.int("REMOVAL_DEADLINE_DAYS", default=7))
# Requests a second with one key of an organization, or one operator key; 0: no limit.
KEY_RATE = max(0, env.int("KEY_RATE", default=50))
OPERATOR_KEY_RATE = max(0, env.int("OPERATOR_KEY_RATE", default=0))
# Sign-in attempts a minute with one e-mail address from one source (known device, session or IP address).
SIGN_IN_RATE = max(1, env.int("SIGN_IN_RATE", default=10))
# The largest file that can be uploaded on a page, in MiB; commands accept any size.
UPLOAD_MB = max(1, env.int("UPLOAD_MB", default=500))
# Seconds that a client may take for the request's headers, and again for its body; a larger body may take longer, at a
# minimum rate (config/bodies.py).
REQUEST_SECONDS = min(60, max(1, env.int("REQUEST_SECONDS", default=20)))
# The most that one process holds of request and response bodies, for all clients together, in MiB.
SPOOL_MB = max(1, env.int("SPOOL_MB", default=4 * UPLOAD_MB))
# Threads that handle requests, in each process; each has its own database connection.
WEB_THREADS = max(1, env.int("WEB_THREADS", default=2))
# The largest uncompressed size of a gzip file, in MiB, and the largest row of a file, in KiB of UTF-8.
UNPACKED_MB = max(1, env.int("UNPACKED_MB", default=10_000))
ROW_KB = max(1, env.int("ROW_KB", default=1024))
FILE_UPLOAD_HANDLERS = [
    "config.uploads.SizeLimit",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

INSTALLED_APPS = [
    "config.admin.PortalAdminConfig",
    # Before django.contrib.auth, because it replaces the commands createsuperuser and changepassword.
    "accounts",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "consent",
]

MIDDLEWARE = [
    "config.request_id.RequestIdMiddleware",
    "config.problems.ProblemMiddleware",
    "config.timeout_middleware.TimeoutMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "config.refusals.RefusalMiddleware",
    "config.compression.KeyedGZipMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.sessions.SessionLimits",
    "accounts.preferences.Preferences",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "accounts.second_factor.SecondFactorMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "consent.console.pages.navigation",
            ],
        },
    },
]


# Time limits for the database, in seconds; 0: none. See config/timeouts.py.
DECISION_SECONDS = max(0.0, env.float("DECISION_SECONDS", default=1))
PAGE_SECONDS = max(0.0, env.float("PAGE_SECONDS", default=10))
LOCK_SECONDS = max(0.0, env.float("LOCK_SECONDS", default=5))
IDLE_TRANSACTION_SECONDS = max(0.0, env.float("IDLE_TRANSACTION_SECONDS", default=30))
# The connection pooler in front of PostgreSQL, in transaction mode: '' for none, "transaction" if it supports prepared
# statements, "transaction-unprepared" if not.
DATABASE_POOLER = env.str("DATABASE_POOLER", default="")
if DATABASE_POOLER not in ("", "transaction", "transaction-unprepared"):
    raise ImproperlyConfigured(
        f"DATABASE_POOLER is {DATABASE_POOLER!r}: say transaction, transaction-unprepared or nothing."
    )
PREPARED_STATEMENTS = DATABASE_POOLER != "transaction-unprepared"


def _database() -> dict[str, Any]:
    """The settings of the one database: SQLite in a file, unless DATABASE_URL names another."""
    config: dict[str, Any] = dict(env.db("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'portal.sqlite3'}"))
    config.setdefault("CONN_MAX_AGE", env.int("CONN_MAX_AGE", default=600))
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["ENGINE"] = "config.private_sqlite3"
        # IMMEDIATE takes the write lock at BEGIN. A deferred transaction that reads and then writes fails at once if
        # another connection wrote in between, without waiting for the timeout.
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # FULL: a confirmed opt-out survives a power failure, which WAL with NORMAL does not guarantee. Persistent
            # connections keep the write-ahead log alive; this limit, in bytes, shrinks it after a large change.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864;",
            **config.get("OPTIONS", {}),
        }
        return config
    config["ENGINE"] = "config.postgresql"
    config["CONN_HEALTH_CHECKS"] = True
    config["DISABLE_SERVER_SIDE_CURSORS"] = bool(DATABASE_POOLER) or env.bool(
        "DISABLE_SERVER_SIDE_CURSORS", default=False
    )
    config["OPTIONS"] = {
        "connect_timeout": max(0, env.int("CONNECT_SECONDS", default=3)),
        # Detect a server that vanished without closing the connection; no effect on Unix sockets.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,  # milliseconds
        # Django does not use prepared statements; `accounts.prepared_sql` does, for the queries of decisions.
        "prepare_threshold": 5 if PREPARED_STATEMENTS else None,
        **config.get("OPTIONS", {}),
    }
    return config


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"

# Sign-in. Nobody can sign up: operators and invitations create accounts (see consent/services/invitations).
REQUIRE_MFA = env.bool("REQUIRE_MFA", default=not DEBUG)
# Days after which an operator's request for another operator's approval expires.
OPERATOR_REQUEST_DAYS = max(1, env.int("OPERATOR_REQUEST_DAYS", default=7))
INVITATION_DAYS = max(1, env.int("INVITATION_DAYS", default=7))
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
# No verification by allauth: operators and invitations vouch for an address, and the portal has its own page to change
# it, which mails links to both addresses.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if HTTPS else "http"
ACCOUNT_SESSION_REMEMBER = False
# Replaced by accounts/attempts.py, which counts by source and target account together, not by one of them alone.
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": None, "reset_password": "20/m/ip"}
ACCOUNT_FORMS = {"login": "accounts.forms.LoginForm", "reset_password": "accounts.forms.ResetPasswordForm"}
MFA_FORMS = {
    "add_webauthn": "accounts.forms.AddPasskeyForm",
    "authenticate": "accounts.forms.AuthenticateForm",
    "reauthenticate": "accounts.forms.ReauthenticateForm",
}
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
MFA_ADAPTER = "accounts.adapters.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
# See ACCOUNT_EMAIL_VERIFICATION.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "Training Consent"
# Accept one step of 30 s earlier or later, because phones' clocks are not exact.
MFA_TOTP_TOLERANCE = 1
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = DEBUG

# The cache is in the database, so that allauth's rate limits hold across processes.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "portal_cache",
        # With Django's default of 300, an attacker could push out other entries by attempts with made-up addresses.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# E-mail is stored in the database; the worker sends it through the server of EMAIL_URL.
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Training Consent <portal@localhost>")
DELIVERY: dict[str, Any] = env.email_url("EMAIL_URL", default="consolemail://")
EMAIL_BACKEND = "accounts.outbox.OutboxBackend"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("fr", _("French"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["config.formats"]
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
if not DEBUG:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }

# No inline scripts or styles, no eval, nothing from another host.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
if HTTPS:
    # Browsers accept cookies with this prefix only from this host by HTTPS, so no sibling subdomain can set them.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
# Known devices: see accounts/devices.py.
DEVICE_COOKIE_NAME = "__Host-device" if HTTPS else "device"
# A session ends after this idle time, and in any case after SESSION_DAYS.
SESSION_IDLE_DAYS = max(1, env.int("SESSION_IDLE_DAYS", default=7))
OPERATOR_IDLE_MINUTES = max(2, env.int("OPERATOR_IDLE_MINUTES", default=30))
SESSION_DAYS = max(1, env.int("SESSION_DAYS", default=14))
SESSION_COOKIE_AGE = SESSION_DAYS * 86_400
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000 if SECURE_SSL_REDIRECT else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
# Load balancers send health checks by plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
if BEHIND_PROXY:
    ALLAUTH_TRUSTED_PROXY_COUNT = 1
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "config.problems.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "consent.api.openapi.Bodies",
    # No special meaning for `?format=`: it is refused like any unknown parameter.
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Training Consent Portal",
    "DESCRIPTION": (
        "Whether data may be used to train models: asked, chosen, proven. Version 1 changes only by adding: fields to "
        "answers, words to enums.\n\n"
        "* **Ids** are opaque. Where an organization's or member's id is taken, so is `external:` with your own id.\n"
        "* **Instants** are RFC 3339 with a time zone.\n"
        "* **Errors** are `application/problem+json` (RFC 9457). Unknown fields and parameters are errors, and named.\n"
        "* **Lists** come in pages: follow `next` until it is null.\n"
        "* **Requests** may carry an `X-Request-ID`, which comes back, stands in the log, and with what they change.\n"
        "* **Doubt means no**: anything but a 200 with `allowed` true is no permission."
    ),
    "VERSION": "1",
    "LICENSE": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
    "CONTACT": {"name": "The operators of this portal"},
    "SERVERS": [{"url": "/", "description": "This portal."}],
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": False,
    "COMPONENT_SPLIT_PATCH": False,
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "PREPROCESSING_HOOKS": ["consent.api.openapi.prepare"],
    "POSTPROCESSING_HOOKS": ["consent.api.openapi.finish"],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "config.request_id.RequestIdFilter"},
        "links": {"()": "config.redaction.LinkFilter"},
    },
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"},
        "server": {"()": "django.utils.log.ServerFormatter", "format": "[{server_time}] {message}", "style": "{"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id", "links"]},
        "server": {"class": "logging.StreamHandler", "formatter": "server", "filters": ["links"]},
    },
    # The request log of `make run`: Django's own, with the filter added.
    "loggers": {"django.server": {"handlers": ["server"], "level": "INFO", "propagate": False}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
}
