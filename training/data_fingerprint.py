"""Which data a model was trained on, as a hash of the ledger folder."""

import hashlib
from pathlib import Path

from data_contracts.validation.accepted_folder import files_that_count


def data_fingerprint(directory: Path) -> str:
    """SHA-256 over the names and contents of the files of a ledger folder that are read."""
    digest = hashlib.sha256()
    for name, file in files_that_count(directory).items():
        digest.update(name.encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
