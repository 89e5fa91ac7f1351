"""Proof that the tests bite: bugs that one could have written, put into a scratch copy, and the tests that die of them.

`make teeth` seeds the bugs of `teeth.bugs`, one after another; `make mutants` changes the ledger and the lifecycle a
little, everywhere. Neither touches this checkout. See docs/teeth.md.
"""
