"""What cannot be logged is lost; whoever wanted to say it goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="there is no device here that is always full")
def test_a_process_whose_log_is_full_says_what_it_wants_and_goes_on() -> None:
    script = (
        "import sys, click\n"
        "from serving.process.full_log import lose_what_cannot_be_logged\n"
        "from serving.process.observability import log_as_json_lines, logging\n"
        "lose_what_cannot_be_logged()\n"
        "lose_what_cannot_be_logged()\n"
        "log_as_json_lines()\n"
        "for _ in range(3):\n"
        "    click.echo('x' * 10_000, err=True)\n"
        "    sys.stderr.write('y\\n')\n"
        "    logging.getLogger('bonitas').warning('z')\n"
        "    sys.stderr.flush()\n"
        "print('went on')\n"
    )
    with FULL.open("w") as log:
        finished = subprocess.run(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=log, text=True, check=False
        )
    assert (finished.returncode, finished.stdout) == (0, "went on\n")
