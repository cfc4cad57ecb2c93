"""`python -m serving.process.supervisor serve ...`: BentoML's command in a process that only supervises.

BentoML loads the service there to learn its name and how many processes it wants, before these load it once
more. To build there what answers requests would double the time until the first of them.
"""

import os
import sys

from serving.process.parent_watch import as_parent, end_with_parent

MODULE = "serving.process.supervisor"


def only_supervises() -> bool:
    """Whether this process was started as a supervisor: it answers no request."""
    started = getattr(sys.modules["__main__"], "__spec__", None)
    return started is not None and started.name == MODULE


if __name__ == "__main__":
    from bentoml_cli.cli import cli

    end_with_parent(os.environ)
    os.environ.update(as_parent())
    cli()
