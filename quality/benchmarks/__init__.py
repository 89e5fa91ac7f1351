"""Measurements behind decisions. Numbers are compared within one run only: machines differ, and are shared."""
