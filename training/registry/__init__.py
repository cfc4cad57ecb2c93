"""Versions of models: what is kept of each, and which is champion or shadow."""

import os

# Before any module of this folder imports MLflow, which reads both as it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Two small files need no progress bars of their own between the lines of a command's answer.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
