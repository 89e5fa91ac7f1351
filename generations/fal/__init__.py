"""fal's queue, in our words. Plain Python: no Django here, and nothing else imports fal_client or httpx.

`client` speaks to fal, `wire` reads what it says, `webhooks` proves that a callback is fal's, `keys` holds the
keys for that, `platform` asks about prices and bills, `errors` is what can go wrong.
"""

from generations.fal.client import FalClient, Receipt
from generations.fal.errors import AnswerLost, FalError, Forbidden, Gone, Reason, Rejected, Unavailable
from generations.fal.wire import CancelVerdict, Completed, Failed, Finished, Queued, Running

__all__ = [
    "AnswerLost",
    "CancelVerdict",
    "Completed",
    "Failed",
    "FalClient",
    "FalError",
    "Finished",
    "Forbidden",
    "Gone",
    "Queued",
    "Reason",
    "Receipt",
    "Rejected",
    "Running",
    "Unavailable",
]
