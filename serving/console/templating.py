"""Templates and static files of the console, read once; what a page may load is a closed list."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from serving.console.locale_forms import FILTERS

MOUNTED_AT = "/console"
START = f"{MOUNTED_AT}/"
"""Where the start page is."""
_FOLDER = Path(__file__).parent
_MEDIA_TYPES = {"console.css": "text/css", "console.js": "text/javascript"}


@dataclass(frozen=True, kw_only=True)
class StaticFile:
    """A file that pages load. served_as: its name with the hash of its content, so it never goes stale."""

    served_as: str
    media_type: str
    content: bytes


def _static_file(name: str) -> StaticFile:
    content = (_FOLDER / "static" / name).read_bytes()
    stem, _, ending = name.partition(".")
    digest = hashlib.sha256(content).hexdigest()[:16]
    return StaticFile(served_as=f"{stem}-{digest}.{ending}", media_type=_MEDIA_TYPES[name], content=content)


_STATIC_FILES: Mapping[str, StaticFile] = MappingProxyType(
    {name: _static_file(name) for name in _MEDIA_TYPES}
)
STATIC_FILES: Mapping[str, StaticFile] = MappingProxyType(
    {file.served_as: file for file in _STATIC_FILES.values()}
)
"""By the name under which each is served."""


def static_url(name: str) -> str:
    """The address of a static file. Raises KeyError for one that is not on the list."""
    return f"{MOUNTED_AT}/static/{_STATIC_FILES[name].served_as}"


def console_path(path: str) -> str:
    """A path of the routes as the browser needs it; one that is whole already stays as it is.

    >>> console_path("/"), console_path("/cases/1"), console_path("/console/cases/1?tab=orders")
    ('/console/', '/console/cases/1', '/console/cases/1?tab=orders')
    """
    return path if path == MOUNTED_AT or path.startswith(f"{MOUNTED_AT}/") else f"{MOUNTED_AT}{path}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(FILTERS)
    environment.globals.update(static_url=static_url, url=console_path)
    return environment


_ENVIRONMENT = _environment()


def rendered(template: str, *, status: int = 200, **values: object) -> Response:
    """A page from a template of the templates folder."""
    return HTMLResponse(_ENVIRONMENT.get_template(template).render(**values), status_code=status)
