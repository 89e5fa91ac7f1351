"""The REST API. A door: it reads a wish, calls one verb of the floors below, and renders the answer."""
