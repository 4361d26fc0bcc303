"""Runs `ioex` with a mempool that takes for ever to save: a node that does not get to its end."""

import sys
import time
from typing import NoReturn

from ioex_chain.cli.main import app as ioex
from ioex_chain.node import app


def never(*_: object) -> NoReturn:
    while True:
        time.sleep(60)


if __name__ == "__main__":
    app.encode_pool = never
    ioex(sys.argv[1:])
