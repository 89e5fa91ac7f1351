"""The admin of the generations app. Django imports this package; each module registers its tables."""

from generations.admin import erasures, generations, pricing, uploads

__all__ = ["erasures", "generations", "pricing", "uploads"]
