"""The ledger: accounts, holds and entries.

`ledger` is the only module that changes them. The package knows nothing of generations: a hold has a reference, such as
`generation:<uuid>`, and is settled once.
"""
