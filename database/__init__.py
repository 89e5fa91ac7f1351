"""Access to the database that every app shares: its clock, time-outs, ids, best-effort writes and triggers.

This package is the lowest layer of the project. It has no tables and imports no app.
"""
