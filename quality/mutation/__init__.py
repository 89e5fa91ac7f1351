"""Mutation testing of the ledger and the lifecycle: `make mutation`. A mutant that no test kills shows a missing test.

`operators` says which changes are made, `mutants` makes them at every place of a module, `module_patch` puts a mutant
into a running process, `pytest_plugin` runs the tests that reach it, the fastest first, and `equivalent` lists the
survivors that need no test. docs/seeded-bugs.md explains why no existing tool is used: they skip decorated functions,
or start one process for each mutant.
"""
