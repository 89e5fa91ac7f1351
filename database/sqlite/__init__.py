"""A database backend of Django: SQLite, whose writers wait in a queue. Named as ENGINE in the settings."""
