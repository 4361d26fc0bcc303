"""From a request's `params` to a method's arguments, by the method's own signature and annotations.

A parameter may be given by position or by name; a request that names its parameters may still give the
first ones by position in a member `args`, as Bitcoin Core allows. `null` stands for the default.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.errors import ParameterError, ParameterFault

POSITIONAL_MEMBER = "args"


@dataclass(frozen=True, slots=True)
class Param:
    """Metadata for `Annotated`: a JSON name that Python cannot have, other accepted names, a description.

    Of several the last one counts, so that a shared type can be described anew.
    """

    description: str = ""
    name: str | None = None
    also: tuple[str, ...] = ()


class BadSignature(TypeError):
    """A method that cannot be offered: no type, no docstring, or a kind of parameter that JSON lacks."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One JSON parameter of a method."""

    name: str
    python_name: str
    adapter: TypeAdapter[Any]
    required: bool
    default: object
    description: str
    also: tuple[str, ...]

    def read(self, value: object) -> Any:
        """Check one value against the annotation. Raises ParameterError."""
        try:
            return self.adapter.validate_python(value, strict=True)
        except ValidationError as error:
            raise _as_parameter_error(self.name, error) from None


@dataclass(frozen=True, slots=True)
class Signature:
    """A method's parameters, its result's type and where it wants the call's context."""

    method: str
    parameters: tuple[Parameter, ...]
    result: TypeAdapter[Any]
    context_name: str | None
    by_name: Mapping[str, Parameter] = field(init=False)

    def __post_init__(self) -> None:
        """Index the parameters by each of their names."""
        index = {name: p for p in self.parameters for name in (p.name, *p.also)}
        if len(index) != sum(1 + len(p.also) for p in self.parameters) or POSITIONAL_MEMBER in index:
            raise BadSignature(f"{self.method}: two parameters share a name, or one is called 'args'")
        object.__setattr__(self, "by_name", index)

    def bind(self, params: object, context: CallContext) -> dict[str, Any]:
        """Give the method's keyword arguments for a request's `params` (array, object or absent).

        Raises ParameterError naming the parameter.
        """
        if isinstance(params, dict):
            given = self._named(params)
        else:
            given = self._positional(params if isinstance(params, list) else [])
        arguments = {p.python_name: self._argument(p, given) for p in self.parameters}
        if self.context_name is not None:
            arguments[self.context_name] = context
        return arguments

    def usage(self) -> str:
        """Give the method's name and parameters on one line, the optional ones in parentheses."""
        words = [self.method]
        for p in self.parameters:
            words.append(p.name if p.required else f"( {p.name} )")
        return " ".join(words)

    def _argument(self, p: Parameter, given: Mapping[str, object]) -> Any:
        value = given.get(p.name)
        if value is None and not p.required:
            return p.default
        if value is None and p.name not in given:
            raise ParameterError(p.name, f"missing; usage: {self.usage()}", ParameterFault.COUNT)
        return p.read(value)

    def _positional(self, values: Sequence[object]) -> dict[str, object]:
        if len(values) > len(self.parameters):
            names = ", ".join(p.name for p in self.parameters) or "none"
            message = (
                f"{len(values)} given, at most {len(self.parameters)} taken ({names}); usage: {self.usage()}"
            )
            raise ParameterError("params", message, ParameterFault.COUNT)
        return {p.name: value for p, value in zip(self.parameters, values, strict=False)}

    def _named(self, params: Mapping[str, object]) -> dict[str, object]:
        leading = params.get(POSITIONAL_MEMBER, [])
        if not isinstance(leading, list):
            raise ParameterError(POSITIONAL_MEMBER, "must be an array", ParameterFault.TYPE)
        given = self._positional(leading)
        for name, value in params.items():
            if name == POSITIONAL_MEMBER:
                continue
            parameter = self.by_name.get(name)
            if parameter is None:
                raise ParameterError(
                    name[:64], f"Unknown named parameter; {self.usage()}", ParameterFault.UNKNOWN
                )
            if parameter.name in given:
                raise ParameterError(name, "given twice", ParameterFault.TWICE)
            given[parameter.name] = value
        return given


def read_signature(method: str, function: Callable[..., Any]) -> Signature:
    """Read a bound method's or function's parameters and result. Raises BadSignature."""
    hints = get_type_hints(function, include_extras=True)
    parameters: list[Parameter] = []
    context_name: str | None = None
    for p in inspect.signature(function).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY):
            raise BadSignature(f"{method}: parameter {p.name} cannot be given by name")
        if p.name not in hints:
            raise BadSignature(f"{method}: parameter {p.name} has no type")
        if hints[p.name] is CallContext:
            context_name = p.name
        else:
            parameters.append(_parameter(method, p, hints[p.name]))
    if "return" not in hints:
        raise BadSignature(f"{method}: the result has no type")
    return Signature(method, tuple(parameters), _adapter(method, hints["return"]), context_name)


def _parameter(method: str, p: inspect.Parameter, annotation: object) -> Parameter:
    extra = _metadata(annotation) or Param()
    required = p.default is inspect.Parameter.empty
    default = None if required else p.default
    name = extra.name or p.name
    return Parameter(
        name, p.name, _adapter(method, annotation), required, default, extra.description, extra.also
    )


def _metadata(annotation: Any) -> Param | None:
    """Find what is said of a parameter, also inside `X | None`."""
    if get_origin(annotation) is Annotated:
        return next((m for m in reversed(get_args(annotation)[1:]) if isinstance(m, Param)), None)
    if get_origin(annotation) in (Union, UnionType):
        return next(filter(None, map(_metadata, get_args(annotation))), None)
    return None


def _adapter(method: str, annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation)
    except PydanticUserError as error:
        raise BadSignature(f"{method}: {error.message}") from error


_TYPE_FAULTS = frozenset(
    {"int_from_float", "bool_parsing", "none_required", "finite_number", "missing_keyword_only_argument"}
)


def _as_parameter_error(name: str, error: ValidationError) -> ParameterError:
    details = error.errors(include_url=False, include_input=False, include_context=False)
    first = details[0]
    of_type = all(_is_type_fault(d) for d in details)
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in _path(first, name))
    return ParameterError(
        name, f"{where} {first['msg']}".strip(), ParameterFault.TYPE if of_type else ParameterFault.VALUE
    )


def _is_type_fault(detail: ErrorDetails) -> bool:
    return detail["type"].endswith("_type") or detail["type"] in _TYPE_FAULTS


def _path(detail: ErrorDetails, _name: str) -> tuple[int | str, ...]:
    return tuple(part if isinstance(part, int) else part[:40] for part in detail["loc"])[:8]
