"""The frame of every report: one HTML page without outside parts, readable in light and dark and on paper."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template


def report_template(
    package: str, name: str, filters: Mapping[str, Callable[..., Any]] | None = None
) -> Template:
    """A template from the folder `templates` of a package, such as `training.validation`.

    It extends `report.html` and fills the blocks `title` and `main`. What it is given is escaped, unless it
    is markup; a name that it is not given is an error.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("evidence")]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= dict(filters or {})
    return environment.get_template(name)
