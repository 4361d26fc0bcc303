"""Executes for RPC."""

from typing import Any


class EvmEngine:
    """Not here yet."""

    def __init__(self, *args: Any) -> None:
        """Take all."""

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)
