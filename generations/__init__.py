"""From an order to a stored file. docs/architecture.md shows the packages and follows one order through them."""
