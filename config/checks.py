"""System checks for settings that contradict each other.

Django runs them when a command starts: an error (limn.E001 …) stops it, a warning (limn.W001 …) is printed. Each says
which setting is wrong and what to set instead.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from database import time_scale
from generations.safe_http.addresses import is_loopback


@register("limn")
def check_debug_is_local(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.DEBUG and not is_loopback(urlsplit(settings.SITE_URL).hostname or ""):
        return [
            Error(
                f"DEBUG is on while SITE_URL is {settings.SITE_URL}: error pages would show settings and prompts.",
                hint="Set DEBUG=false, or SITE_URL to a loopback address.",
                id="limn.E001",
            )
        ]
    return []


@register("limn")
def check_allowed_hosts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if "*" in settings.ALLOWED_HOSTS and not settings.DEBUG:
        return [
            Error("ALLOWED_HOSTS contains *.", hint="Name the hosts; SITE_URL's own is always allowed.", id="limn.E002")
        ]
    return []


@register("limn")
def check_fal_user_id(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.FAL_KEY and not settings.FAL_USER_ID:
        return [
            Warning(
                "FAL_USER_ID is not set: the account is pinned at the first callback that is verified by its token.",
                hint="Copy your user id from fal's dashboard into FAL_USER_ID.",
                id="limn.W001",
            )
        ]
    return []


@register("limn")
def check_s3_endpoint_has_bucket(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.AWS_S3_ENDPOINT_URL and not settings.AWS_STORAGE_BUCKET_NAME:
        return [
            Error(
                "AWS_S3_ENDPOINT_URL is set and AWS_STORAGE_BUCKET_NAME is not: files would silently go to MEDIA_ROOT.",
                hint="Set AWS_STORAGE_BUCKET_NAME, or remove the endpoint.",
                id="limn.E003",
            )
        ]
    return []


@register("limn")
def check_callback_url_is_public(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    fal_is_here = is_loopback(urlsplit(settings.FAL_QUEUE_URL).hostname or "")
    site_is_here = is_loopback(urlsplit(settings.SITE_URL).hostname or "")
    if settings.FAL_KEY and site_is_here and not fal_is_here:
        return [
            Warning(
                f"fal cannot call back to {settings.SITE_URL}; results are found by polling, some seconds later.",
                hint="Set SITE_URL to the public https address of this server.",
                id="limn.W002",
            )
        ]
    return []


@register("limn")
def check_time_scale(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if time_scale.TIME_SCALE != 1 and not is_loopback(urlsplit(settings.SITE_URL).hostname or ""):
        return [
            Error(
                f"LIMN_TIME_SCALE is {time_scale.TIME_SCALE:g}: leases and grace periods are too short for fal.",
                hint="Unset LIMN_TIME_SCALE; only make chaos uses it.",
                id="limn.E004",
            )
        ]
    return []
