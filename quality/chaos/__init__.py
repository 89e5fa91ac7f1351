"""Limn under load while everything around it breaks: `python -m soak`. docs/soak.md tells how to read it.

Real processes on a real PostgreSQL and a real S3 server, the simulator as the outside world with a durable log of
its own, and a nemesis drawn from a seed. Safety while it breaks, liveness when it stops, then a verdict that
compares our rows with fal's log and the bucket, byte for byte.
"""
