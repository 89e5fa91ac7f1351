"""Models declared by `manage.py import_model ENDPOINT --write`, one module each. All modules here are on offer."""
