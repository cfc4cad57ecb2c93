"""Which public data sets there are by name, and fetching one into $BONITAS_HOME."""

from pathlib import Path
from typing import TYPE_CHECKING

from command_line.state import read_settings

if TYPE_CHECKING:
    from data_contracts.progress import Progress

UCI_TAIWAN = "uci-taiwan"
IEEE_CIS = "ieee-cis"
GMSC = "gmsc"


def fetched(name: str, file: Path | None, progress: "Progress") -> Path:
    """The file of a public data set, fetched if need be, checked by its checksum.

    file: a copy to take instead of fetching. Raises FetchFailed.
    """
    from data_contracts.public import gmsc, ieee_cis, uci_taiwan

    fetch_it = {UCI_TAIWAN: uci_taiwan.fetch, GMSC: gmsc.fetch, IEEE_CIS: ieee_cis.fetch}[name]
    return fetch_it(read_settings().home / "public" / name, file=file, progress=progress)
