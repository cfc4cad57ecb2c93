"""What a start says of champions that cannot decide: after an upgrade, say, or where a file was changed."""

from serving.domain.policy import Policy
from serving.in_force.model_watch import CHAMPION, ModelRegistry, RegistryUnreachableError
from serving.in_force.scorer import ModelNotUsableError, ReplayModel
from serving.process.settings import Settings


def other_terms(model: ReplayModel, policy: Policy) -> str | None:
    """Why a credit model cannot decide under a policy; None where both say alike when an invoice is paid.

    A model that learned from other labels and features would be asked about something else than it learned.
    """
    if model.terms == policy.settlement_terms:
        return None
    return (
        f"{model.name} {model.version} learned that an invoice is {model.terms.in_words()}; under policy "
        f"{policy.version} it is {policy.settlement_terms.in_words()}: bonitas train {model.name} DIR, then "
        "promote the new version"
    )


def champion_notices(
    settings: Settings, registry: ModelRegistry, policy: Policy | None = None
) -> tuple[str, ...]:
    """One line for each model whose champion cannot decide: why, what happens until then, what to do.

    policy: in force, None where that is not known.
    """
    until_then = {
        settings.model_name: "every checkout is answered `unavailable` (no_model)",
        settings.order_risk_model_name: "approved orders wait for it",
    }
    notices = (
        _notice(registry, model_name, means, policy if model_name == settings.model_name else None)
        for model_name, means in until_then.items()
    )
    return tuple(notice for notice in notices if notice is not None)


def _notice(registry: ModelRegistry, model_name: str, until_then: str, policy: Policy | None) -> str | None:
    try:
        version = registry.version_under(model_name, CHAMPION)
        if version is None:
            return f"{model_name} has no champion: bonitas train {model_name} DIR. Until then {until_then}."
        model = registry.load(model_name, version)
        problem = None if policy is None else other_terms(model, policy)
        if problem is not None:
            return f"{problem}. Until then {until_then}."
    except ModelNotUsableError as problem:
        return f"{problem}. Until then {until_then}."
    except RegistryUnreachableError as problem:
        return f"the model registry cannot be read now ({problem}). Until it can, {until_then}."
    return None
