"""The client of fal.ai. Plain Python without Django; the only code that knows fal's words and imports its library.

`client` sends submissions and asks about jobs, `wire` interprets fal's messages, `webhooks` and `keys` verify
callbacks, `platform` reads prices and bills, `errors` and `messages` name what can go wrong. docs/fal.md has the facts
about fal that this package relies on, with their sources.
"""

from generations.fal.client import FalClient
from generations.fal.errors import AnswerLost, FalError, Forbidden, Gone, Reason, Rejected, Unavailable, Unreachable
from generations.fal.receipts import ProviderReceipt
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
    "ProviderReceipt",
    "Queued",
    "Reason",
    "Rejected",
    "Running",
    "Unavailable",
    "Unreachable",
]
