"""The template tag with which the admin shows active alerts on every page."""

from __future__ import annotations

from django import template

from operations import alerts
from operations.alert_rules import Alert

register = template.Library()


@register.simple_tag
def active_alerts() -> list[Alert]:
    """Return the active alerts except `breaker`, which the admin shows with its reason in a line of its own."""
    return [alert for alert in alerts.current() if alert.name != "breaker"]
