"""Text that no database can store."""

import re

# PostgreSQL's jsonb rejects NUL, and UTF-8 cannot encode lone surrogates.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
