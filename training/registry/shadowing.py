"""Start and end the shadow of a model: a challenger that answers for live traffic with no effect."""

from collections.abc import Callable
from datetime import datetime

from data_contracts.text_form import is_blank
from training.errors import TrainingError
from training.registry.registry import ModelRegistry
from training.registry.shadow_history import ShadowChange, ShadowChangeKind


def start_shadow(
    model_name: str,
    version: str,
    *,
    registry: ModelRegistry,
    by: str,
    reason: str,
    now: datetime,
    answers_from: datetime,
    begin: Callable[[], None],
) -> ShadowChange:
    """Make a version the shadow of its model, in place of any other.

    answers_from: decisions made from then on get its answer. begin: tells those who will answer, before
    the alias moves. Raises TrainingError without a name or a reason, for a version that there is not, that
    the service could not use, that is champion or is the shadow already.
    """
    _require_name_and_reason(by, reason)
    registry.refuse_unless_served(model_name, version)
    change = ShadowChange(
        version=version,
        kind=ShadowChangeKind.STARTED,
        by=by,
        reason=reason,
        at=now,
        answers_from=answers_from,
    )
    return registry.put_shadow(model_name, change, begin=begin)


def stop_shadow(
    model_name: str, *, registry: ModelRegistry, by: str, reason: str, now: datetime
) -> ShadowChange:
    """End the shadow of a model; what it answered stays. Raises TrainingError where there is none."""
    _require_name_and_reason(by, reason)
    change = ShadowChange(version=None, kind=ShadowChangeKind.STOPPED, by=by, reason=reason, at=now)
    registry.remove_shadow(model_name, change)
    return change


def _require_name_and_reason(by: str, reason: str) -> None:
    if is_blank(by) or is_blank(reason):
        raise TrainingError("a shadow needs --by NAME and --reason TEXT, which are kept in the history")
