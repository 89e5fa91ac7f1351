"""Files: their storage, signed URLs, uploads, and the inspection of their bytes in a sandbox.

Nothing outside decides what a file is: its type, size and SHA-256 are measured. `storage` hides whether files are in a
bucket or in a folder.
"""
