"""Tests of the documentation: its links, its commands, its tables, and the site that is built from it."""
