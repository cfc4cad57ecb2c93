"""What a benchmark on a flat table came to, fold by fold, as JSON values and as text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from training.flat_tables.table_choice import Candidate, Choice
from training.flat_tables.table_schema import TableSchema

DEFAULT = "lightgbm with default parameters"
BONITAS = "bonitas"
WITHOUT_DIRECTIONS = "bonitas without directions"
DEFAULT_WITH_PROTECTED = "lightgbm with default parameters, with protected"
WITH_PROTECTED = "bonitas with protected"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a model is worth on a fold, or on the mean of the folds."""

    auc: float
    gini: float
    ks: float
    brier: float
    average_precision: float
    recall_at_1pct_fpr: float
    recall_at_5pct_fpr: float
    calibration_error: float


FIGURE_NAMES = tuple(field.name for field in fields(Figures))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure fold by fold, its mean, and the standard deviation between folds (0 for a single fold)."""

    mean: float
    sd: float
    folds: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.mean:.4f}" + (f" (sd {self.sd:.4f})" if len(self.folds) > 1 else "")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to model the table. chosen: each fold's estimator, None for the fixed reference."""

    columns: int
    folds: tuple[Figures, ...]
    chosen: tuple[Choice, ...] | None

    def spread(self, name: str) -> Spread:
        """One figure over the folds."""
        return spread_of([getattr(fold, name) for fold in self.folds])

    def to_json(self) -> dict[str, Any]:
        """The figures by name: mean, standard deviation and fold by fold."""
        spreads = {name: self.spread(name) for name in FIGURE_NAMES}
        figures: dict[str, Any] = {
            "columns": self.columns,
            "mean": {name: spread.mean for name, spread in spreads.items()},
            "sd": {name: spread.sd for name, spread in spreads.items()},
            "folds": [asdict(fold) for fold in self.folds],
        }
        if self.chosen is not None:
            figures["chosen"] = [
                {
                    "estimator": choice.candidate.value,
                    "trees": choice.trees if choice.candidate is Candidate.LIGHTGBM else None,
                    "inner_folds": {
                        candidate.value: asdict(judged) for candidate, judged in choice.judged.items()
                    },
                }
                for choice in self.chosen
            ]
        return figures


@dataclass(frozen=True, kw_only=True)
class TableBenchmark:
    """What a run came to.

    direction_cost_auc: AUC without the directions minus AUC with them, None where no column has one.
    protected_cost_auc: AUC with the protected columns minus AUC without, None if not asked for.
    """

    schema: TableSchema
    rows: int
    bads: int
    seed: int
    variants: dict[str, Variant]
    direction_cost_auc: Spread | None
    protected_cost_auc: Spread | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "title": self.schema.title,
            "label": self.schema.label,
            "rows": self.rows,
            "bads": self.bads,
            "bad_rate": self.bads / self.rows,
            "split": {**asdict(self.schema.split), "kind": self.schema.split.kind.value},
            "seed": self.seed,
            "variants": {name: variant.to_json() for name, variant in self.variants.items()},
            "direction_cost_auc": None
            if self.direction_cost_auc is None
            else asdict(self.direction_cost_auc),
            "protected_cost_auc": None
            if self.protected_cost_auc is None
            else asdict(self.protected_cost_auc),
            "published": [asdict(figure) for figure in self.schema.published],
            "seconds": self.seconds,
        }

    def to_text(self) -> str:
        """The result for a reader."""
        split = self.schema.split
        how = f"{split.folds} folds" if split.folds else f"the latest {split.test_share:.0%} test"
        about = f"{self.schema.title}: {self.rows:,} rows, {self.bads / self.rows:.2%} bad"
        names = (
            f"{'AUC':18} {'Gini':6} {'KS':6} {'Brier':7} {'av.pr.':6} {'rec 1%':6} {'rec 5%':6} {'cal.err.'}"
        )
        lines = [
            f"{about}; {split.kind.value}, {how}, seed {self.seed}; means of the folds (sd)",
            "",
            f"  {'':50} {names}",
        ]
        for name, variant in self.variants.items():
            mean = {figure: variant.spread(figure).mean for figure in FIGURE_NAMES}
            lines.append(
                f"  {name:50} {variant.spread('auc')!s:18} {mean['gini']:.4f} {mean['ks']:.4f} "
                f"{mean['brier']:.5f} {mean['average_precision']:.4f} {mean['recall_at_1pct_fpr']:.4f} "
                f"{mean['recall_at_5pct_fpr']:.4f} {mean['calibration_error']:.4f}"
            )
        lines += [
            f"  {f'published: {figure.who}':50} {figure.auc:.4f} ({figure.protocol})"
            for figure in self.schema.published
        ]
        lines.append("")
        chosen = self.variants[BONITAS].chosen or ()
        lines.append(
            "  chosen on inner folds: "
            + ", ".join(
                f"{choice.candidate.value} of {choice.trees} trees"
                if choice.candidate is Candidate.LIGHTGBM
                else choice.candidate.value
                for choice in chosen
            )
        )
        if self.direction_cost_auc is not None:
            lines.append(f"  keeping the directions costs {self.direction_cost_auc} AUC")
        if self.protected_cost_auc is not None:
            lines.append(f"  leaving out the protected columns costs {self.protected_cost_auc} AUC")
        lines.append(f"  {self.seconds:.0f} s in all")
        return "\n".join(lines)


def spread_of(values: Sequence[float]) -> Spread:
    """A figure over the folds; values: one for each fold."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Spread(mean=float(np.mean(values)), sd=sd, folds=tuple(values))
