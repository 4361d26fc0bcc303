"""A reader for the YAML that the execution-apis specification is written in.

Block mappings and sequences, plain and quoted scalars over one or several lines, literal and folded blocks,
short flow sequences and comments: nothing else, and anything else is an error.
"""

import re
from typing import Any

_KEY = re.compile(
    r"""(?:'((?:[^']|'')*)'|"([^"]*)"|([^\s'"#\-\[{][^#:]*?|-[^\s][^:]*?))\s*:(?:\s+(.*)|\s*)$"""
)
_INT, _FLOAT = re.compile(r"-?(0|[1-9]\d*)"), re.compile(r"-?\d+\.\d+")


class _Lines:
    def __init__(self, text: str) -> None:
        self.rows = text.split("\n")
        self.at = 0

    def peek(self) -> tuple[int, str] | None:
        """Give indent and content of the next row that has content."""
        while self.at < len(self.rows):
            content = self.rows[self.at].strip()
            if content and not content.startswith("#"):
                return len(self.rows[self.at]) - len(self.rows[self.at].lstrip()), content
            self.at += 1
        return None


def load(text: str) -> Any:
    """Read a document."""
    lines = _Lines(text)
    value = _node(lines, 0)
    if lines.peek() is not None:
        raise ValueError(f"line {lines.at + 1} is not understood: {lines.rows[lines.at]!r}")
    return value


def _node(lines: _Lines, least: int) -> Any:
    found = lines.peek()
    if found is None or found[0] < least:
        return None
    indent, content = found
    if content == "-" or content.startswith("- "):
        return _sequence(lines, indent)
    if _KEY.match(content):
        return _mapping(lines, indent)
    lines.at += 1
    return _scalar(lines, content, indent - 1)


def _sequence(lines: _Lines, indent: int) -> list[Any]:
    items = []
    while (found := lines.peek()) and found[0] == indent and (found[1] == "-" or found[1].startswith("- ")):
        rest = found[1][1:].strip()
        if not rest:
            lines.at += 1
            items.append(_node(lines, indent + 1))
            continue
        lines.rows[lines.at] = " " * (indent + 2) + rest  # the item begins on the dash's row
        items.append(_node(lines, indent + 1))
    return items


def _mapping(lines: _Lines, indent: int) -> dict[Any, Any]:
    items: dict[Any, Any] = {}
    while (found := lines.peek()) and found[0] == indent and (match := _KEY.match(found[1])):
        single, double, plain, rest = match.groups()
        key = single if single is not None else double if double is not None else plain
        lines.at += 1
        rest = (rest or "").strip()
        if rest.startswith("#"):
            rest = ""
        items[key] = _value(lines, rest, indent)
    return items


def _value(lines: _Lines, rest: str, indent: int) -> Any:
    if rest in ("|", "|-", ">", ">-"):
        return _block(lines, indent, rest)
    if rest:
        return _scalar(lines, rest, indent)
    found = lines.peek()
    if found and found[0] == indent and (found[1] == "-" or found[1].startswith("- ")):
        return _sequence(lines, indent)
    return _node(lines, indent + 1)


def _block(lines: _Lines, indent: int, style: str) -> str:
    rows: list[str] = []
    while lines.at < len(lines.rows):
        row = lines.rows[lines.at]
        if row.strip() and len(row) - len(row.lstrip()) <= indent:
            break
        rows.append(row.strip())
        lines.at += 1
    while rows and not rows[-1]:
        rows.pop()
    if style[0] == ">":
        folded = "\n".join(" ".join(part.split("\n")) for part in "\n".join(rows).split("\n\n"))
        rows = [folded]
    return "\n".join(rows) + ("" if style.endswith("-") else "\n")


def _scalar(lines: _Lines, text: str, indent: int) -> Any:
    if text[0] in "'\"":
        return _quoted(lines, text)
    if text[0] == "[":
        inside = text.strip()
        assert inside.endswith("]"), text
        return [_plain(part.strip()) for part in inside[1:-1].split(",") if part.strip()]
    if text == "{}":
        return {}
    parts = [text.split(" #")[0].strip()]
    while lines.at < len(lines.rows):  # a plain scalar goes on in deeper rows
        row = lines.rows[lines.at]
        if not row.strip() or len(row) - len(row.lstrip()) <= indent:
            break
        parts.append(row.strip())
        lines.at += 1
    return _plain(" ".join(parts))


def _quoted(lines: _Lines, text: str) -> str:
    quote = text[0]
    end = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"\\]|\\.)*)\"")
    while not (match := end.match(text)):
        text += " " + lines.rows[lines.at].strip()
        lines.at += 1
    return match.group(1).replace("''", "'") if quote == "'" else match.group(2)


def _plain(text: str) -> Any:
    known = {"true": True, "false": False, "null": None, "~": None}
    if text in known:
        return known[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else _unquoted(text)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
