"""What customers are told: webhooks, the feed, mail."""
