"""The BentoML service: its declaration, which the supervising process loads too, and what answers behind it.

Importing this module reads the settings; nothing else does.
"""

import os
from typing import TYPE_CHECKING, Any

import bentoml
from bentoml.exceptions import NotFound

from data_contracts.private_files import keep_new_files_private
from serving.process.process_manager import close_control_ports
from serving.process.settings import Settings
from serving.process.slim_process import leave_out_data_frames
from serving.process.supervisor import only_supervises
from serving.requests.request_patience import SERVER_TIMEOUT_S

if TYPE_CHECKING:
    from serving.serving_process import ServingProcess

leave_out_data_frames()
# Whoever starts BentoML directly gets private files too.
keep_new_files_private()
SETTINGS = Settings.from_env(os.environ)

# Here and not where our command starts the server, so that `bentoml serve` has the same bounds.
close_control_ports()


def _serving_process() -> "ServingProcess | None":
    """What answers here; None in a process that only supervises those that do."""
    if only_supervises():
        return None
    # Its imports take most of the time until the first answer.
    from serving.serving_process import ServingProcess  # noqa: PLC0415 - see above

    return ServingProcess(SETTINGS)


PROCESS = _serving_process()


@bentoml.service(
    name="bonitas",
    workers=SETTINGS.workers,
    traffic={"timeout": SERVER_TIMEOUT_S},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    tracing={"excluded_urls": "v1/.*,stop/.*,console/.*"},
)
class CreditService:
    """The API at /v1 and BentoML's `score` by the door; behind it the merchant's form and the console."""

    def __init__(self) -> None:
        if PROCESS is not None:
            PROCESS.start()

    @bentoml.api(route="/score")  # type: ignore[untyped-decorator]  # BentoML has no types
    async def score(self, order: dict[str, Any], /) -> dict[str, Any]:  # noqa: ARG002 for the schema
        """What POST /v1/score answers, for `bentoml.SyncHTTPClient(url, token=API_KEY).score(order)`.

        Only declared here, for the schema that BentoML's client reads. POST /score is answered by the handler
        of /v1/score: BentoML would parse the body of whoever sends one, before anybody asks for a key.
        """
        raise NotFound("POST /score is answered at the door")

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # as above
    def end(self) -> None:
        """Finish what was begun, stop polling and close the store."""
        if PROCESS is not None:
            PROCESS.end()


if PROCESS is not None:
    PROCESS.answer_for(CreditService)
