"""Runs Limn under load while faults are injected around it: `make chaos`.

A run starts real processes on a real PostgreSQL and a real S3 server, with the simulator in place of fal. A seed
selects the faults. Invariants are checked on snapshots of the database during the run; at the end Limn's rows are
compared with the simulator's log and with the files in the bucket. docs/chaos.md explains how to read the output.
"""
