"""mining.configure: the extensions of BIP 310 that this server has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ioex_chain.pow import stratum as wire

VERSION_MASK = 0x1FFFE000
"""Version bits that a miner may roll (BIP 320); bit 8 (merged mining) is none of them."""
_MAX_EXTENSIONS = 32


@dataclass(slots=True)
class Configured:
    """What was agreed on; `result` is the answer."""

    result: dict[str, Any] = field(default_factory=dict)
    version_mask: int | None = None
    minimum_difficulty: float = 0.0


def configure(params: list[Any]) -> Configured:
    """Answer a list of extensions with their parameters. Raises BadRequest when it is none."""
    names = params[0] if params else None
    options = params[1] if len(params) > 1 and params[1] is not None else {}
    if not isinstance(names, list) or not isinstance(options, dict) or len(names) > _MAX_EXTENSIONS:
        raise wire.BadRequest("mining.configure takes a list of extensions and an object with their options")
    made = Configured()
    for name in names:
        if not isinstance(name, str):
            raise wire.BadRequest("an extension is named by a string")
        if name == "version-rolling":
            _version_rolling(made, options)
        elif name == "minimum-difficulty":
            _minimum_difficulty(made, options)
        else:  # `info` needs no more than yes; extranonces never change here, so that is yes too
            made.result[name[: wire.MAX_LINE]] = name in ("subscribe-extranonce", "info")
    return made


def _version_rolling(made: Configured, options: Mapping[str, Any]) -> None:
    """Give the bits that both sides allow; refuse when the miner needs more of them."""
    asked = _mask(options.get("version-rolling.mask", "ffffffff"))
    needed = options.get("version-rolling.min-bit-count", 0)
    if asked is None or isinstance(needed, bool) or not isinstance(needed, int):
        raise wire.BadRequest("version-rolling takes a mask of 8 hex digits and a number of bits")
    mask = asked & VERSION_MASK
    if mask.bit_count() < needed:
        made.result["version-rolling"] = f"only {mask.bit_count()} of {needed} bits may be rolled"
        return
    made.version_mask = mask
    made.result["version-rolling"] = True
    made.result["version-rolling.mask"] = f"{mask:08x}"


def _mask(text: Any) -> int | None:
    if not isinstance(text, str) or not 1 <= len(text) <= 8 or not text.isascii() or not text.isalnum():
        return None
    try:
        return int(text, 16)
    except ValueError:
        return None


def _minimum_difficulty(made: Configured, options: Mapping[str, Any]) -> None:
    value = options.get("minimum-difficulty.value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e30:
        raise wire.BadRequest("minimum-difficulty takes a number")
    made.minimum_difficulty = float(value)
    made.result["minimum-difficulty"] = True
