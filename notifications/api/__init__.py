"""The API of notifications: webhook endpoints, deliveries and the event feed."""
