"""HTTP plumbing that the API and the pages share. It knows no resource and no page."""
