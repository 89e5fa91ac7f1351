"""Why an upload cannot be created, completed, used or deleted. Raised by `uploads`, which exports these errors.

UploadError
├── NotUploaded          no bytes were PUT yet
├── InProgress           another process completes or receives the upload at the moment
├── NotAnImage           the bytes are not an image that can be used; final
├── Expired              the upload was not completed in time; final
├── UploadInUse          a generation that has not ended needs it
├── QuotaExceeded        the account's uploads would use more storage than allowed
├── Mismatch             the bytes differ in length or type from what was declared
└── StorageUnavailable   the storage does not answer, or the disk for temporary files is full
"""

from __future__ import annotations

from generations.errors import DomainError, InUse, Unavailable


class UploadError(DomainError):
    """The upload cannot be created, completed, used or deleted."""


class NotUploaded(UploadError):
    """No bytes were put yet."""

    code, status, title = "not_uploaded", 409, "Nothing uploaded"
    default_detail = "Nothing has been uploaded yet. PUT the bytes to the upload's URL, then complete the upload."


class InProgress(UploadError):
    """Another process holds the lease of the upload."""

    code, status, title = "upload_busy", 409, "Upload is being processed"
    default_detail = "The upload is being processed. Try again in a second."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class NotAnImage(UploadError):
    """The uploaded bytes are not an image that can be used: `reason`. Final."""

    code, status, title = "not_a_picture", 422, "Not an image"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The file cannot be used: {reason}.")
        self.reason = reason


class Expired(UploadError):
    """The upload was not completed in time. Final."""

    code, status, title = "upload_expired", 410, "Upload expired"
    default_detail = "The upload was not completed in time. Create a new one."


class UploadInUse(UploadError, InUse):
    """A generation that has not ended needs the upload."""

    default_detail = "A generation that has not ended needs this upload. Cancel the generation, or wait for its end."


class QuotaExceeded(UploadError):
    """The account's uploads would take more space than they may."""

    code, status, title = "storage_full", 413, "Upload quota exceeded"


class Mismatch(UploadError):
    """The uploaded bytes differ in length or type from what was declared."""

    code, status, title = "upload_mismatch", 422, "Upload differs from its declaration"


class StorageUnavailable(UploadError, Unavailable):
    """The storage does not answer, or temporary files cannot be written."""
