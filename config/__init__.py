"""The composition root: settings, URLs, middleware, health checks, and the commands that start processes.

It imports every other package, and none imports it. `manage.py serve` answers requests, `manage.py work` does the
background work, and `manage.py up` (`make run`) starts both with the simulator.
"""
