"""Programs that test Limn beyond its unit tests: chaos runs, seeded bugs, mutation testing and benchmarks.

They run from a checkout with the development dependencies (`make chaos`, `make seeded-bugs`, `make mutation`,
`make bench`). They import the product, the simulator and the tests' services; nothing imports them.
"""
