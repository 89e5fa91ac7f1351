"""Live and watched: streams, metrics, alerts, the health of fal, and the blocking way."""
