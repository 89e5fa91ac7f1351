"""What operators need: metrics, alerts, statistics, invariants, and the comparison with fal's bill.

It reads the tables of the other apps and changes none of them.
"""
