"""Notifications to customers: the outbox, webhook endpoints and deliveries, e-mail, and the event feed.

The lifecycle does not know this app: `apps` registers `outbox.record` with its event hook.
"""
