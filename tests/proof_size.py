"""How large a proof is: whole in `make test-long`, with fixed seeds; a fiftieth of it in `make test`."""

import os

from hypothesis import HealthCheck, settings

IS_LONG = os.environ.get("BONITAS_LONG_PROOFS") == "1"


def whole_or_fiftieth(count: int) -> int:
    """So many in `make test-long`, a fiftieth of them in `make test`, at least one."""
    return count if IS_LONG else max(count // 50, 1)


def examples(count: int) -> settings:
    """So many examples of a property in `make test-long`, always the same; a fiftieth in `make test`."""
    return settings(
        max_examples=whole_or_fiftieth(count),
        derandomize=IS_LONG,
        database=None if IS_LONG else settings.default.database,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.filter_too_much,
            HealthCheck.function_scoped_fixture,
        ],
    )
