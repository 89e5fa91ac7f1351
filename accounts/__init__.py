"""What a user may do: API keys with their scopes, limits per user, rate limits and login throttling.

This app knows nothing of generations. What a user or a key has spent is computed in `generations.ordering.quotas`.
"""
