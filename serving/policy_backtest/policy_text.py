"""Changes single values in the text of a policy, so that comments and order stay as they were written."""

import re
from collections.abc import Mapping

from serving.domain.errors import PolicyInvalid
from serving.domain.policy import Policy
from serving.domain.policy_reader import parse_policy


def with_values(text: str, values: Mapping[str, int | str], expected: Policy) -> str:
    """The policy's text with other values of some fields.

    values: by the field's name, which stands on one line of its own.
    expected: what the changed text must read as. Raises PolicyInvalid where a field stands nowhere, or twice,
    in the form `name = value`, or the text reads otherwise.
    """
    changed = text
    mistakes = []
    for name, value in values.items():
        shown = f'"{value}"' if isinstance(value, str) else f"{value}"
        pattern = rf"(?m)^([ \t]*{re.escape(name)}[ \t]*=[ \t]*)(\"[^\"\n]*\"|[0-9_]+)"
        if len(re.findall(pattern, changed)) != 1:
            mistakes.append(f"{name}: must stand once, on a line of its own, to be changed")
            continue
        changed = re.sub(pattern, lambda found, shown=shown: f"{found.group(1)}{shown}", changed)  # type: ignore[misc]  # a default argument in a lambda
    if mistakes:
        raise PolicyInvalid(mistakes)
    if parse_policy(changed) != expected:
        raise PolicyInvalid(["the changed text does not read as the proposal: write it by hand"])
    return changed
