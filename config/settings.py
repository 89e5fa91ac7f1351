"""Every setting, read once from the environment. docs/settings.md and .env.example list them all."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config import env, queue, s3
from config.logging import logging_config
from database import timeouts

BASE_DIR = Path(__file__).resolve().parent.parent
environ.Env.read_env(BASE_DIR / ".env")

DATA_DIR = env.folder("DATA_DIR", BASE_DIR / "var")
DEBUG = env.flag("DEBUG", default=False)
SECRET_KEY = env.secret_key(DATA_DIR)
PORT = env.integer("PORT", 8000, minimum=1, maximum=65535)

# --- The site ---
SITE_URL = env.web_url("SITE_URL", f"http://127.0.0.1:{PORT}")
_site = urlsplit(SITE_URL)
ALLOWED_HOSTS = list(
    dict.fromkeys([*env.words("ALLOWED_HOSTS"), _site.hostname or "", "127.0.0.1", "localhost", "[::1]"])
)
CSRF_TRUSTED_ORIGINS = [SITE_URL]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _site.scheme == "https"
SESSION_COOKIE_AGE = int(timedelta(days=14).total_seconds())
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _site.scheme == "https" else None
# The proxy in front redirects http to https. Limn itself never redirects: fal drops a callback for good on a 3xx.
SECURE_SSL_REDIRECT = False
SECURE_HSTS_SECONDS = int(timedelta(days=30).total_seconds()) if _site.scheme == "https" else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# --- fal ---
FAL_KEY = env.secret("FAL_KEY")
FAL_ADMIN_KEY = env.secret("FAL_ADMIN_KEY")
FAL_USER_ID = env.text("FAL_USER_ID")
FAL_QUEUE_URL = env.web_url("FAL_QUEUE_URL", "https://queue.fal.run")
FAL_JWKS_URL = env.web_url("FAL_JWKS_URL", "https://rest.fal.ai/.well-known/jwks.json")
FAL_MEDIA_HOSTS = env.media_hosts("FAL_MEDIA_HOSTS", "*.fal.media,fal.media,storage.googleapis.com")

# The hosts from which pages may be read that customers name as material for infographics.
PAGE_HOSTS = env.page_hosts("PAGE_HOSTS", "*")
# By all processes together. What is over the limit waits.
FAL_REQUESTS_PER_MINUTE = env.integer("FAL_REQUESTS_PER_MINUTE", 100, minimum=1, maximum=100_000)
FAL_REQUESTS_BURST = env.integer("FAL_REQUESTS_BURST", 200, minimum=1, maximum=100_000)

# --- Limits of each user; 0 means unlimited ---
USER_REQUESTS_PER_MINUTE = env.integer("USER_REQUESTS_PER_MINUTE", 600, minimum=0, maximum=1_000_000)
USER_RUNNING_MAX = env.integer("USER_RUNNING_MAX", 250, minimum=0, maximum=1_000_000)
USER_CREDITS_PER_DAY = env.integer("USER_CREDITS_PER_DAY", 100_000, minimum=0, maximum=999_999_999)
USER_CREDITS_PER_MONTH = env.integer("USER_CREDITS_PER_MONTH", 1_000_000, minimum=0, maximum=999_999_999)

# --- Monitoring ---
METRICS_TOKEN = env.token("METRICS_TOKEN")
# An account that spends less than this in an hour causes no alert. 0 switches the alert off.
ALERT_SPENDING_CREDITS = env.integer("ALERT_SPENDING_CREDITS", 5000, minimum=0, maximum=999_999_999)

# --- Database ---
_database: dict[str, Any] = env.database("DATABASE_URL", DATA_DIR / "limn.sqlite3")
_on_postgresql = _database["ENGINE"].endswith("postgresql")
if _on_postgresql:
    # Every wait ends, so that a client gets 503 within 5 s: the wait for a lock after 3 s, for a connection after 4 s,
    # and for a silent server after the limit of the connection class. A busy `work` has a hundred threads that query
    # now and then. Sixty connections serve them, and leave some of a server's usual hundred for the web server.
    _database["OPTIONS"] = {
        **_database.get("OPTIONS", {}),
        "connect_timeout": 3,
        # How often a hand-written statement is executed on a connection before it is prepared (`database.prepared`).
        # What is executed once or twice, such as a batch of a certain size, is not worth it.
        "prepare_threshold": 2,
        # Gives up early and starts over: the pauses of the pool between its attempts grow to minutes.
        "pool": {
            "min_size": 1,
            "max_size": 60,
            "timeout": timeouts.CONNECTION_SECONDS_MAX,
            "reconnect_timeout": 4,
            "connection_class": timeouts.Connection,
        },
        # The last one is for disks without moving heads: PostgreSQL takes a page out of order for four times as
        # expensive, and then reads a whole table, or every newer row of all customers, instead of using an index.
        "options": "-c lock_timeout=3000 -c statement_timeout=30000 -c idle_in_transaction_session_timeout=30000 "
        "-c random_page_cost=1.1",
    }
    # A connection that a restart of the server has closed is detected before it is used.
    _database["CONN_HEALTH_CHECKS"] = True
else:
    _database["ENGINE"] = "database.sqlite"
    # Threads keep their connections: to open one takes longer than most requests wait for their statements.
    _database["CONN_MAX_AGE"] = None
    _database["OPTIONS"] = {
        # Writers wait for each other at BEGIN instead of failing in the middle.
        "transaction_mode": "IMMEDIATE",
        # Seconds, for workers. Requests have a limit of their own (database.timeouts).
        "timeout": 20,
        # With NORMAL, a commit does not wait for the disk. The backend does, while other writers go on.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
        # Otherwise INSERT OR REPLACE would bypass the trigger that makes entries append-only.
        "PRAGMA recursive_triggers=ON;",
    }
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Background work: queue messages are hints, the tables decide ---
REDIS_URL = env.redis_url("REDIS_URL")
TASKS = {
    "default": {
        "BACKEND": "huey.contrib.djhuey.tasks_backend.HueyBackend",
        # `workers.tasks` waits for the commit itself, and sends from a thread that has no connection to the database.
        "OPTIONS": {"enqueue_on_commit": False},
        "QUEUES": [],
    }
}
HUEY = queue.options(
    SECRET_KEY,
    redis_url=REDIS_URL,
    database_url=env.secret("DATABASE_URL") if _on_postgresql else "",
    sqlite_file=str(DATA_DIR / "queue.sqlite3"),
)

# --- Files ---
MEDIA_ROOT = env.folder("MEDIA_ROOT", DATA_DIR / "media")
AWS_STORAGE_BUCKET_NAME = env.text("AWS_STORAGE_BUCKET_NAME")
AWS_ACCESS_KEY_ID = env.secret("AWS_ACCESS_KEY_ID")
AWS_SECRET_ACCESS_KEY = env.secret("AWS_SECRET_ACCESS_KEY")
AWS_S3_REGION_NAME = env.text("AWS_S3_REGION_NAME", "auto")
AWS_S3_ENDPOINT_URL = env.web_url("AWS_S3_ENDPOINT_URL", "") if env.text("AWS_S3_ENDPOINT_URL") else ""
AWS_S3_CUSTOM_DOMAIN = env.domain("AWS_S3_CUSTOM_DOMAIN")
# The folder of this deployment in the bucket or in MEDIA_ROOT. Rows name files without it.
STORAGE_PREFIX = env.storage_prefix("STORAGE_PREFIX")
SIGNED_URL_SECONDS = 3600
UPLOAD_MEGABYTES_MAX = env.integer("UPLOAD_MEGABYTES_MAX", 2000, minimum=1, maximum=100_000_000)
# Limits the size of a form with images before its files are written to disk, and before the login is checked.
FILE_UPLOAD_HANDLERS = [
    "generations.pages.form_uploads.FormSizeLimit",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
_files: dict[str, Any] = {
    "BACKEND": "django.core.files.storage.FileSystemStorage",
    "OPTIONS": {"location": str(MEDIA_ROOT), "allow_overwrite": True, "file_permissions_mode": 0o600},
}
if AWS_STORAGE_BUCKET_NAME:
    _files = s3.storage(
        name=AWS_STORAGE_BUCKET_NAME,
        endpoint_url=AWS_S3_ENDPOINT_URL,
        region=AWS_S3_REGION_NAME,
        access_key=AWS_ACCESS_KEY_ID,
        secret_key=AWS_SECRET_ACCESS_KEY,
        signed_seconds=SIGNED_URL_SECONDS,
    )
STORAGES = {
    "default": _files,
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
WHITENOISE_USE_FINDERS = True

# --- E-mail ---
vars().update(env.email("EMAIL_URL", "consolemail://"))
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.mail_address("EMAIL_FROM", f"Limn <limn@{_site.hostname}>")
# The recipients of alerts. Empty: alerts are only logged and shown in the admin.
ALERT_EMAIL = env.mail_addresses("ALERT_EMAIL")
# A mail server that does not answer is given up after this time, and the e-mail is sent again later.
EMAIL_TIMEOUT = 10

# --- Django ---
INSTALLED_APPS = [
    "config.site.LimnAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "django_filters",
    "django_htmx",
    "django_tasks",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "huey.contrib.djhuey",
    "rest_framework",
    "config",
    "credits",
    "accounts",
    "generations",
    "notifications",
    "operations",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.health.DatabaseUnavailableMiddleware",
    "generations.callbacks.middleware.CallbackMiddleware",
    "config.middleware.CSPMiddleware",
    "config.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "config.middleware.AuthenticationMiddleware",
    "config.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            # Loaded by `{% load follow_ups %}`.
            "libraries": {"follow_ups": "generations.pages.template_tags"},
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "library"
LOGOUT_REDIRECT_URL = "login"
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

_file_origins = (
    [AWS_S3_ENDPOINT_URL] if AWS_S3_ENDPOINT_URL else ["https://*.amazonaws.com"] if AWS_STORAGE_BUCKET_NAME else []
)
if AWS_S3_CUSTOM_DOMAIN:
    _file_origins.append(f"https://{AWS_S3_CUSTOM_DOMAIN}")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:", "blob:", *_file_origins],
        "media-src": [SELF, *_file_origins],
        "connect-src": [SELF, "blob:", *_file_origins],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- API ---
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "generations.http.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["generations.http.throttling.UserThrottle"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "generations.http.negotiation.JsonFirst",
    "DEFAULT_PARSER_CLASSES": ["generations.http.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "generations.http.problems.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Limn",
    "DESCRIPTION": "Order images, videos, 3D models and audio; pay in credits, exactly once.",
    "VERSION": "1",
    # OpenAPI 3.1 uses JSON Schema as the catalogue does; 3.0 cannot express null.
    "OAS_VERSION": "3.1.0",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "Status": "generations.models.Status",
        "Phase": "generations.models.Phase",
        "FailureCode": "generations.models.FailureCode",
        "EntryKind": "credits.models.Entry.Kind",
        "UploadState": "generations.models.Upload.State",
        "WebhookDeliveryState": "notifications.models.WebhookDelivery.State",
    },
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "generations.http.openapi.add_scopes_and_retry_after",
        "generations.http.openapi.shorten_request_names",
    ],
}

LOGGING = logging_config(env.one_of("LOG_LEVEL", "INFO", {"DEBUG", "INFO", "WARNING", "ERROR"}))

if bool(AWS_ACCESS_KEY_ID) != bool(AWS_SECRET_ACCESS_KEY):
    raise ImproperlyConfigured(
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: one is set without the other. Set both or neither."
    )
