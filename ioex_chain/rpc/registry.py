"""The table of methods: what they are called, what they take and give, and how they are to be run."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ioex_chain.rpc.params import BadSignature, Signature, read_signature

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__rpc_method__"


@dataclass(frozen=True, slots=True)
class Mark:
    """What the decorator states about a method."""

    name: str
    group: str
    write: bool
    errors: tuple[int | type[Exception], ...]
    timeout: float | None
    thread: bool
    deprecated: bool


@dataclass(frozen=True, slots=True)
class Method:
    """One callable method of a table."""

    mark: Mark
    function: Callable[..., Any]
    signature: Signature
    is_async: bool
    summary: str
    description: str

    @property
    def name(self) -> str:
        """The name in requests."""
        return self.mark.name

    @property
    def group(self) -> str:
        """The heading it stands under in help and OpenRPC."""
        return self.mark.group


def method(
    name: str,
    *,
    group: str,
    write: bool = False,
    errors: tuple[int | type[Exception], ...] = (),
    timeout: float | None = None,
    thread: bool = False,
    deprecated: bool = False,
) -> Callable[[F], F]:
    """Offer a function or a method of an API object under `name`.

    `write`: it changes the node, so the caller must have authenticated. `errors`: codes, or domain errors
    of the server's table, that it is known to answer. `timeout`: seconds, instead of the port's own limit
    (a long poll). `thread`: a plain function that computes for long and so runs in a worker thread; other
    plain functions run in the event loop and must be quick, or give a coroutine for a call that is not.
    The docstring's first paragraph becomes the summary; every parameter and the result must have types
    (`pydantic`'s, checked strictly).
    """
    mark = Mark(name, group, write, errors, timeout, thread, deprecated)

    def attach(function: F) -> F:
        setattr(function, _MARK, mark)
        return function

    return attach


class MethodTable:
    """The methods of one port, by name."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    def add_api(self, api: object) -> None:
        """Add every marked method of an object. Raises BadSignature, also for a name that is taken."""
        for attribute in dir(type(api)):
            if hasattr(inspect.getattr_static(type(api), attribute), _MARK):
                self.add(getattr(api, attribute))

    def add(self, function: Callable[..., Any], mark: Mark | None = None) -> None:
        """Add one marked function; `mark` overrides its own mark. Raises BadSignature."""
        mark = mark or getattr(function, _MARK, None)
        if mark is None:
            raise BadSignature(f"{function!r} is not marked with @method")
        if mark.name in self._methods:
            raise BadSignature(f"{mark.name}: there are two methods of this name")
        is_async = inspect.iscoroutinefunction(function)
        if mark.thread and is_async:
            raise BadSignature(f"{mark.name}: a coroutine does not run in a worker thread")
        summary, description = _read_docstring(mark.name, function)
        signature = read_signature(mark.name, function)
        self._methods[mark.name] = Method(mark, function, signature, is_async, summary, description)

    def get(self, name: str) -> Method | None:
        """Find a method by its exact name."""
        return self._methods.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._methods

    def __len__(self) -> int:
        return len(self._methods)

    def __iter__(self) -> Iterator[Method]:
        """Go through the methods by group, then by name."""
        return iter(sorted(self._methods.values(), key=lambda m: (m.group, m.name)))

    def help_lines(self) -> dict[str, list[str]]:
        """Give, per group, one usage line for each method."""
        groups: dict[str, list[str]] = {}
        for entry in self:
            groups.setdefault(entry.group, []).append(entry.signature.usage())
        return groups

    def help_text(self, name: str) -> str | None:
        """Give all that is to be said about one method; None when there is no such method."""
        entry = self._methods.get(name)
        return None if entry is None else _help_text(entry)


def _help_text(entry: Method) -> str:
    lines = [entry.signature.usage(), "", entry.summary]
    if entry.description:
        lines += ["", entry.description]
    if entry.signature.parameters:
        lines += ["", "Parameters:"]
    for index, p in enumerate(entry.signature.parameters, 1):
        kind = "required" if p.required else f"optional, default {p.default!r}"
        lines.append(
            f"{index}. {p.name} ({_type_name(p.adapter.json_schema())}, {kind}) {p.description}".rstrip()
        )
    result = _type_name(entry.signature.result.json_schema(mode="serialization"))
    lines += ["", f"Result: {result}"]
    if entry.mark.write:
        lines += ["", "Needs authentication: it changes the node."]
    return "\n".join(lines)


def _type_name(schema: dict[str, Any]) -> str:
    """Put a JSON schema in one or two words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type_name(option) for option in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(repr(option) for option in schema["enum"])
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return f"array of {_type_name(schema['items'])}"
    kind = schema.get("type", schema.get("title", "any"))
    return str(schema["$ref"]).rsplit("/", 1)[-1] if "$ref" in schema else str(kind)


def _read_docstring(name: str, function: Callable[..., Any]) -> tuple[str, str]:
    text = inspect.getdoc(function)
    if not text:
        raise BadSignature(f"{name}: a method needs a docstring, its first paragraph is the summary")
    summary, _, description = text.partition("\n\n")
    return " ".join(summary.split()), description.strip()
