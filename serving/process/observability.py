"""What the service tells about itself: Prometheus metrics and structured logs, ids only, never people."""

import json
import logging
import sys

from data_contracts.instants import iso_instant
from serving.process.batched_metrics import CounterInBatches, HistogramInBatches
from serving.process.metric_files import Counter, Gauge

DECISIONS = CounterInBatches("bonitas_decisions", "Checkout decisions by outcome", "outcome")
ANSWER_SECONDS = HistogramInBatches(
    "bonitas_score_seconds",
    "Time from a decoded body to an answer, in seconds",
    upper_bounds=(0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0),
)
STAGE_SECONDS = HistogramInBatches(
    "bonitas_score_stage_seconds",
    "Time of an answer to a checkout by stage, in seconds",
    ["stage"],
    upper_bounds=(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0),
)
HELD_EVENTS = Counter("bonitas_held_events", "Ledger rows that arrived before what they refer to")
POLICY_NOT_USABLE = Gauge(
    "bonitas_policy_not_usable",
    "1 where a process cannot use the newest policy of the store and goes on with the one before, else 0",
    multiprocess_mode="livemax",
)
MODEL_NOT_USABLE = Gauge(
    "bonitas_model_not_usable",
    "1 where no champion of a model can decide: none is there, it reads features that are computed no more, "
    "or its files are not those that were registered; else 0",
    ["model"],
    multiprocess_mode="livemax",
)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a line: when, level, logger, the constant event, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record."""
        line: dict[str, object] = {
            "at": iso_instant(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json_lines() -> None:
    """Send the loggers below `bonitas` to stderr as JSON lines."""
    logger = logging.getLogger("bonitas")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
