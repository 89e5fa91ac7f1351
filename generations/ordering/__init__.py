"""Whether an order is allowed, with which files, and for how many credits. `lifecycle.order` places what is allowed."""
