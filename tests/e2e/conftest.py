"""Nodes for the end-to-end tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.node_process import NodeProcess

NewNode = Callable[..., NodeProcess]


@pytest.fixture
def new_node(tmp_path: Path) -> Iterator[NewNode]:
    """Make data directories with the `ioex` command beside them; whatever runs at the end is ended."""
    made: list[NodeProcess] = []

    def make(name: str = "a", **options: object) -> NodeProcess:
        base = tmp_path / name
        base.mkdir()
        made.append(NodeProcess(base, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for node in made:
        node.ensure_gone()


@pytest.fixture
def node(new_node: NewNode) -> NodeProcess:
    """Give one node that is not started yet."""
    return new_node()
