"""The background work. Each worker has `run_once(limit)`, which claims due rows, handles them and returns how many.

`manage.py work` runs each worker in a loop of its own. `tasks` are queue messages that make a worker act sooner; losing
one costs seconds.
"""
