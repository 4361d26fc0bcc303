"""Memory that goes back to the system."""

import gc

from ioex_chain.node.memory import release


class Ring:
    """Holds itself."""

    def __init__(self, seen: list[str]) -> None:
        self.me = self
        self.seen = seen

    def __del__(self) -> None:
        self.seen.append("freed")


def test_what_only_cycles_hold_is_freed() -> None:
    seen: list[str] = []
    gc.disable()
    try:
        Ring(seen)
        assert seen == []
        release()
        assert seen == ["freed"]
    finally:
        gc.enable()
