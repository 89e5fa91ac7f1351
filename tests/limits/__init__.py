"""Limits towards fal and towards customers, and the keys that carry some of them."""
