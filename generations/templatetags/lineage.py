"""What may be made of a file, for the pages."""

from __future__ import annotations

from django import template

from generations.pages import presenters

register = template.Library()
register.simple_tag(presenters.further)
