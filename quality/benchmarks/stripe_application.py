"""A Django project with dj-stripe's webhook endpoint. It runs without Limn, in an environment of its own.

granian serves `application`; `python -m quality.benchmarks.stripe_application` creates the tables and prints the path
of the endpoint. Its owner and API key are in the database, so dj-stripe asks Stripe nothing.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import django
from django.conf import settings

SECRET = "whsec_only_for_benchmarks"
# Keys of this form are of Stripe's test mode.
API_KEY = "sk_test_" + "0" * 24

_database = urlsplit(os.environ.get("PEER_DATABASE_URL", ""))
if not settings.configured:
    settings.configure(
        SECRET_KEY="only-for-benchmarks",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "djstripe"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": _database.path.strip("/"),
                "USER": _database.username,
                "HOST": _database.hostname,
                "PORT": _database.port,
                "CONN_MAX_AGE": None,
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        # The tables are made from the models: dj-stripe's migrations take minutes.
        MIGRATION_MODULES=dict.fromkeys(("djstripe", "auth", "contenttypes")),
        LOGGING={
            "version": 1,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "loggers": {"django.request": {"handlers": ["console"], "level": "ERROR"}},
        },
        USE_TZ=True,
        STRIPE_LIVE_MODE=False,
        STRIPE_TEST_SECRET_KEY=API_KEY,
        DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
    )
django.setup()

# Django's parts can be imported only after django.setup().
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.urls import include, path  # noqa: E402

urlpatterns = [path("stripe/", include("djstripe.urls", namespace="djstripe"))]
application = WSGIHandler()


def main() -> None:
    from djstripe.models import Account, APIKey, WebhookEndpoint  # noqa: PLC0415  (only here installed)

    call_command("migrate", verbosity=0, run_syncdb=True)
    account = Account.objects.create(id="acct_benchmark", livemode=False)
    APIKey.objects.create(type="secret", secret=API_KEY, livemode=False, djstripe_owner_account=account)
    endpoint = WebhookEndpoint.objects.create(
        id="we_benchmark",
        livemode=False,
        djstripe_owner_account=account,
        enabled_events=["*"],
        secret=SECRET,
        status="enabled",
        url="http://127.0.0.1/",
    )
    print(f"/stripe/webhook/{endpoint.djstripe_uuid}/")


if __name__ == "__main__":
    main()
