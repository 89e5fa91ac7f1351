"""Small changes, everywhere: what survives them is not tested.

Tools from PyPI were looked at first (docs/teeth.md says why not): nearly every verb of ours is decorated, and one
process a mutant would take hours. So: `operators` makes the mutants, `swapping` puts one into a running process,
`session` runs those tests that reach it, the quickest first, and `explained` says which survivors are no loss.
"""
