"""Every task by the name of its model."""

from collections.abc import Mapping
from types import MappingProxyType

from training.invoice_eligibility import INVOICE_ELIGIBILITY_TASK
from training.order_risk import ORDER_RISK_TASK
from training.training_task import TrainingTask

TASKS: Mapping[str, TrainingTask] = MappingProxyType(
    {task.name: task for task in (INVOICE_ELIGIBILITY_TASK, ORDER_RISK_TASK)}
)
