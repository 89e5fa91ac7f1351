"""The alerts that are on, for the banner of the admin."""

from __future__ import annotations

from django import template

from operations import alerts

register = template.Library()


@register.simple_tag
def alerts_on() -> list[alerts.Alert]:
    """All but the breaker, which has a line of its own there."""
    return [alert for alert in alerts.current() if alert.name != "breaker"]
