"""Inserts known bugs into a copy of the checkout and checks that the tests catch each of them: `make seeded-bugs`.

A test that passes proves something only if it fails when the code is wrong. `bugs` declares one bug after the other:
what it changes, and which tests must fail. See docs/seeded-bugs.md.
"""
