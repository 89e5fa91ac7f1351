"""Receives fal's webhooks: `views` verifies and stores a callback, `rejections` counts the others."""
