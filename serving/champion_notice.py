"""What a start says of champions that cannot decide: after an upgrade, say, or where a file was changed."""

from serving.model_watch import CHAMPION, ModelRegistry, RegistryUnreachableError
from serving.scorer import ModelNotUsableError
from serving.settings import Settings


def champion_notices(settings: Settings, registry: ModelRegistry) -> tuple[str, ...]:
    """One line for each model whose champion cannot decide: why, what happens until then, what to do."""
    until_then = {
        settings.model_name: "every checkout is answered `unavailable` (no_model)",
        settings.order_risk_model_name: "approved orders wait for it",
    }
    notices = (_notice(registry, model_name, means) for model_name, means in until_then.items())
    return tuple(notice for notice in notices if notice is not None)


def _notice(registry: ModelRegistry, model_name: str, until_then: str) -> str | None:
    try:
        version = registry.version_under(model_name, CHAMPION)
        if version is None:
            return f"{model_name} has no champion: bonitas train {model_name} DIR. Until then {until_then}."
        registry.load(model_name, version)
    except ModelNotUsableError as problem:
        return f"{problem}. Until then {until_then}."
    except RegistryUnreachableError as problem:
        return f"the model registry cannot be read now ({problem}). Until it can, {until_then}."
    return None
