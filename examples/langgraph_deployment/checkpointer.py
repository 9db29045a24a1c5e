"""Where the server keeps checkpoints: AEGIR_CHECKPOINTS, a SQLite file or ``postgres://user@host/database``.

With its own memory a server that is killed forgets what it was doing; with this it goes on.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aegir_dspy.adapters.langgraph_app.saver import open_saver


@asynccontextmanager
async def open_checkpoints() -> AsyncIterator[Any]:
    """The saver, as long as the server runs."""
    async with open_saver(os.environ.get("AEGIR_CHECKPOINTS", "checkpoints.sqlite")) as saver:
        yield saver
