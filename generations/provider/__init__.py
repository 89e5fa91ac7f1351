"""Limn's side of fal: its clients, how much it is sent, whether it accepts orders, and what it billed.

The protocol itself is in `generations.fal`, which knows neither Django nor Limn's tables.
"""
