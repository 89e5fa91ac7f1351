"""Benchmarks that decisions are based on. Compare numbers within one run only: machines differ, and are shared."""
