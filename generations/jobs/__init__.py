"""Work on rows: leases, backoff, threads, Retry-After, and the failpoints of the chaos test.

A row is due when its `next_attempt_at` has passed. A worker claims it by writing a lease into it. A worker that lost
the lease can neither renew nor release the row.
"""
