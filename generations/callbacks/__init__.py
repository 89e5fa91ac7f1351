"""Receives fal's callbacks: `views` verifies and stores a callback, `rejections` counts the others."""
