"""The progress and the results of generations, for the API, the pages and `manage.py generate`."""
