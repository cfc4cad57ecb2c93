"""How many decisions or screenings were made since an id, and which a version cannot answer."""

from dataclasses import dataclass

from serving.store.shadow_progress import Subject
from serving.store.store import Transaction


@dataclass(frozen=True, kw_only=True)
class MadeInWindow:
    """Decisions or screenings of a window.

    own: made by the version itself. no_features: nothing that it could score; other_features: those of them
    that were made with another version of the features than it reads.
    """

    made: int
    own: int
    no_features: int
    other_features: int = 0

    @property
    def not_comparable(self) -> int:
        """Those that a version has no answer for."""
        return self.own + self.no_features

    @property
    def comparable(self) -> int:
        """Those that it can answer."""
        return self.made - self.not_comparable


_MADE_IN = {Subject.DECISION: ("decisions", "decision_id"), Subject.SCREENING: ("screenings", "screening_id")}
"""Table and key of what a challenger answers for."""


def answered_feature_set(
    tx: Transaction, subject: Subject, model_name: str, model_version: str
) -> str | None:
    """The version of the features that a challenger reads, by what it answered; None where it has not."""
    table, key = _MADE_IN[subject]
    rows = tx.execute(
        f"SELECT made.feature_set_version FROM shadow_decisions AS given JOIN {table} AS made "  # noqa: S608 - constants
        f"ON made.{key} = given.subject_id WHERE given.model_name = ? AND given.model_version = ? "
        "ORDER BY given.subject_id DESC LIMIT 1",
        (model_name, model_version),
    )
    return None if not rows or rows[0][0] is None else str(rows[0][0])


def made_since(
    tx: Transaction,
    subject: Subject,
    *,
    model_name: str,
    model_version: str,
    feature_set_version: str,
    after: str,
) -> MadeInWindow:
    """How many decisions or screenings there are beyond an id, and which a version cannot answer."""
    table, key = _MADE_IN[subject]
    rows = tx.execute(
        "SELECT count(*), "  # noqa: S608 - constants
        "coalesce(sum(CASE WHEN model_name = ? AND model_version = ? THEN 1 ELSE 0 END), 0), "
        "coalesce(sum(CASE WHEN model_name = ? AND feature_set_version = ? AND features IS NOT NULL "
        "THEN 0 ELSE 1 END), 0), "
        "coalesce(sum(CASE WHEN model_name = ? AND feature_set_version <> ? AND features IS NOT NULL "
        f"THEN 1 ELSE 0 END), 0) FROM {table} WHERE {key} > ?",
        (
            model_name,
            model_version,
            model_name,
            feature_set_version,
            model_name,
            feature_set_version,
            after,
        ),
    )
    made, own, no_features, other_features = (int(value) for value in rows[0])
    return MadeInWindow(made=made, own=own, no_features=no_features, other_features=other_features)
