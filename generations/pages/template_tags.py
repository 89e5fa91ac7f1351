"""The template tag `follow_ups`: what can be made from an output (`generations.pages.presenters.follow_ups`)."""

from __future__ import annotations

from django import template

from generations.pages import presenters

register = template.Library()
register.simple_tag(presenters.follow_ups)
