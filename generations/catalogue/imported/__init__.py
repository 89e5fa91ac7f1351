"""Models that `manage.py import_model ENDPOINT --write` has declared, a file each. Whatever lies here is on offer."""
