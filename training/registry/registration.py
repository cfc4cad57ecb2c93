"""What a training run leaves in the registry: the winner, its figures, its reports."""

import json
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import instant_ms
from data_contracts.progress import Progress, no_progress
from features.instants import Float64Array
from training.candidates.candidates import HyperParameters
from training.candidates.model_artifact import write_model
from training.registry.registry import ModelRegistry, RegisteredVersion
from training.training_task import TrainingRequest
from training.validation.evidence import ValidationEvidence
from training.validation.report import write_validation_report


def register_winner(
    request: TrainingRequest,
    evidence: ValidationEvidence,
    *,
    values: Float64Array,
    label: NDArray[np.int8],
    chosen: HyperParameters,
    figures: dict[str, dict[str, Any]],
    progress: Progress = no_progress,
) -> RegisteredVersion:
    """Write and register the model of the evidence, with its card and its validation report.

    It becomes champion if it passed its gates and there is none. values, label: the training rows, shape
    (n, n_features) and (n,). figures: by candidate, as JSON values.
    """
    feature_set, model, facts = evidence.feature_set, evidence.model, evidence.facts
    passed = all(gate.passed for gate in evidence.gates)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_model(
            folder / "model",
            model,
            feature_set,
            typical=np.median(values[label == 0], axis=0),
            facts={**facts, "metrics": figures[model.kind]},
        )
        (folder / "evaluation.json").write_text(json.dumps(figures, indent=1))
        (folder / "model_card.md").write_text(evidence.card.to_markdown())
        write_validation_report(folder, evidence, progress)
        return ModelRegistry(request.tracking_uri, request.artifact_root).register(
            feature_set.name,
            folder,
            parameters={**chosen.to_json(), "seed": request.seed, "features": len(feature_set.features)},
            metrics=flat_metrics(figures),
            tags={
                "kind": model.kind,
                "feature_set_version": feature_set.version,
                "data_fingerprint": facts["data_fingerprint"],
                "trained_until": facts["trained_until"],
                "gates": "passed" if passed else "failed",
            },
            now_ms=instant_ms(datetime.fromisoformat(facts["trained_at"])),
            may_become_champion=passed,
        )


def flat_metrics(figures: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Figures by candidate as MLflow takes them: one number under one dotted name."""
    metrics = {}
    for candidate, values in figures.items():
        for name, value in values.items():
            if isinstance(value, dict) and "value" in value:
                for part in ("value", "low", "high"):
                    metrics[f"{candidate}.{name}.{part}"] = value[part]
            elif isinstance(value, int | float):
                metrics[f"{candidate}.{name}"] = float(value)
    return metrics
