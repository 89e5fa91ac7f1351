"""The admin of the generations app.

Rows are read-only (`credits.read_only_admin`), and only the price book takes new ones. Staff act through actions, which
call the lifecycle and the switches like any other caller. Django imports this package; each module registers its
tables.
"""

from generations.admin import erasures, generations, heartbeats, order_intake, pricing, provider, storage, uploads

__all__ = ["erasures", "generations", "heartbeats", "order_intake", "pricing", "provider", "storage", "uploads"]
