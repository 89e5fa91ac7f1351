"""The SQL of notifications: what every event costs an account that wants none.

`tests/notifications/test_outbox.py` records events of accounts with and without settings.
"""

# About what the account wants e-mails; NULL if it has no notification settings, and so no endpoints. The plan is the
# unique index of subscribers by account.
EMAIL_PREFERENCE = "(SELECT email_preference FROM notifications_subscriber WHERE account_id = %s)"
