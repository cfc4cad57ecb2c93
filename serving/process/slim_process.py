"""What a process that only serves does without, also where training or an analyst's editor brought it."""

import sys

LEFT_OUT = ("pandas", "sklearn")
"""LightGBM and MLflow take seconds to import them where they can, and need them for nothing that serves."""


def leave_out_data_frames() -> None:
    """Let the packages above count as not installed; for the first lines of a process, before LightGBM."""
    for name in LEFT_OUT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None: cannot be imported
