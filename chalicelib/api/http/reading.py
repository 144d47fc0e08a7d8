"""From bytes and strings to validated models. Everything that a client can send wrong ends here, as a clear `InvalidInput`.

That includes what pydantic accepts and Postgres refuses: NUL characters, lone surrogates, NaN, integers beyond 64 bits.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from types import UnionType
from typing import Annotated, Any, NoReturn, TypeVar, Union, get_args, get_origin
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError

from chalicelib.api.schemas.common import Nothing
from chalicelib.errors import (
    FieldProblem,
    InvalidInput,
    MalformedBody,
    TooLarge,
    UnsupportedMediaType,
)

ModelT = TypeVar("ModelT", bound=BaseModel)

# The parts of an upload are the largest document: 10,000 of them, with checksums.
MAX_JSON_BYTES = 4 * 1024**2
_MAX_DEPTH = 64
_MAX_PROBLEMS = 100
# Uppy completes an upload with 10,000 parts of three values each.
_MAX_VALUES = 50_000
_LONGEST_FIELD = 500
_LONGEST_NAME = 80
_INT64 = 1 << 63
_INTEGER = re.compile(r"-?[0-9]+")
_DEEP = re.compile(r"\A(\w+)\[(.+)\]\Z", re.DOTALL)
_PLAINER = {
    "extra_forbidden": "Unknown field.",
    "missing": "Required.",
    "model_attributes_type": "Must be a JSON object.",
    "model_type": "Must be a JSON object.",
    "dict_type": "Must be a JSON object.",
    "timezone_aware": "Must name a time zone, as in 2026-11-23T12:00:00Z.",
}


def read_path(model: type[BaseModel] | None, values: Mapping[str, str]) -> Any:
    """The path's parameters, which arrive percent-encoded."""
    if model is None:
        return None
    try:
        decoded = {name: unquote(value, errors="strict") for name, value in values.items()}
    except UnicodeDecodeError:
        raise InvalidInput("The path is not percent-encoded UTF-8.") from None
    return _validate_strings(model, "path", decoded)


def read_query(model: type[BaseModel] | None, values: Mapping[str, list[str]]) -> Any:
    """The query's parameters. Each must be known, and may be given only once unless the model has a list of it.

    Parameters like ``metadata.camera.make`` go into the model's dictionary ``metadata``, if it has one; so do those of
    OpenAPI's ``deepObject`` style, ``metadata[camera.make]`` and ``metadata[camera][make]``, under the same names.
    """
    fields, lists = (model or Nothing).model_fields, _lists_in(model or Nothing)
    repeated = [name for name, given in values.items() if len(given) > 1 and name not in lists]
    if repeated:
        _refuse(FieldProblem("query", name, "Given more than once.") for name in repeated)
    found: dict[str, Any] = {}
    for sent, given in values.items():
        name = _DEEP.sub(_dotted, sent)
        family, dot, _ = name.partition(".")
        if dot and family in fields and get_origin(fields[family].annotation) is dict:
            members = found.setdefault(family, {})
            if isinstance(members, dict):
                if name in members:
                    _refuse([FieldProblem("query", sent, "Given more than once.")])
                members[name] = given[0]
        elif sent in fields and get_origin(fields[sent].annotation) is dict:
            _refuse([FieldProblem("query", sent, f"Written {sent}.name=value or {sent}[name]=value.")])
        else:
            found[sent] = given if sent in lists else given[0]
    read = _validate_strings(model or Nothing, "query", found)
    return read if model else None


@cache
def _lists_in(model: type[BaseModel]) -> set[str]:
    return {name for name, field in model.model_fields.items() if get_origin(field.annotation) is list}


def _dotted(parameter: re.Match[str]) -> str:
    return f"{parameter[1]}.{parameter[2].replace('][', '.')}"


def require_media_type(content_type: str, accepted: tuple[str, ...], has_body: bool) -> None:
    """Refuse a body of another type, or of none: a page of another site may send one without a preflight.

    Raises:
        UnsupportedMediaType: another media type, or JSON in another charset than UTF-8.
    """
    if not content_type and not has_body:
        return
    media_type, _, parameters = content_type.lower().partition(";")
    charset = parameters.partition("charset=")[2].split(";")[0].strip(' "')
    if media_type.strip() not in accepted:
        raise UnsupportedMediaType(f"Send {' or '.join(accepted)}, not {media_type.strip() or 'a body of no type'}.")
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType(f"Send UTF-8, not {charset}.")


def read_body(model: type[ModelT], raw: bytes) -> ModelT:
    """A JSON body as ``model``.

    Raises:
        TooLarge: more than `MAX_JSON_BYTES`. MalformedBody: empty, not UTF-8, not JSON, or nested too deeply.
        InvalidInput: JSON with wrong fields.
    """
    if len(raw) > MAX_JSON_BYTES:
        raise TooLarge(f"The body has {len(raw)} bytes; this route reads at most {MAX_JSON_BYTES}.")
    return read_document(model, parse_json(raw), "body")


def read_document(model: type[ModelT], document: Any, where: str) -> ModelT:
    """A decoded document, or a part of one, as ``model``.

    Raises:
        InvalidInput: wrong fields; ``where`` says in which part of the request.
    """
    if isinstance(document, dict):
        _refuse_unknown(model, document, where)
        if problems := [FieldProblem(where, *told) for told in islice(_ill_typed(model, document), _MAX_PROBLEMS)]:
            _refuse(problems)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        _refuse_validation(error, where)


def _refuse_unknown(model: type[BaseModel], document: dict[str, Any], where: str) -> None:
    """Refuse too many unknown fields before pydantic writes a complaint about each of them."""
    if model.model_config.get("extra") == "forbid" and len(document) > len(model.model_fields) + _MAX_PROBLEMS:
        unknown = islice((name for name in document if name not in model.model_fields), _MAX_PROBLEMS)
        _refuse(FieldProblem(where, name, _PLAINER["extra_forbidden"]) for name in unknown)


def _ill_typed(kind: Any, value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Dotted path and complaint of each text, number or truth value where another one of these is due.

    Pydantic would take ``"5"`` for 5, and 1 for true. JSON knows no integers, so 5.0 counts as one.
    """
    kinds = set(_plain_kinds(kind))
    if str not in kinds:
        if int in kinds and isinstance(value, bool | str):
            yield field, "Must be an integer."
        if bool in kinds and isinstance(value, int | float | str) and not isinstance(value, bool):
            yield field, "Must be true or false."
    for one in kinds:
        if isinstance(one, type) and issubclass(one, BaseModel) and isinstance(value, dict):
            for name, info in one.model_fields.items():
                if name in value:
                    yield from _ill_typed(info.annotation, value[name], f"{field}.{name}" if field else name)
        elif get_origin(one) is list and isinstance(value, list):
            for index, item in enumerate(value):
                yield from _ill_typed(get_args(one)[0], item, f"{field}.{index}")


def _plain_kinds(annotation: Any) -> Iterator[Any]:
    """What a value may be, without `Annotated` and unions around it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _plain_kinds(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for choice in get_args(annotation):
            yield from _plain_kinds(choice)
    else:
        yield annotation


# Where a value is in a document: the path of what holds it, and its name or number there. Empty for the document itself.
_Path = tuple[Any, ...]


def parse_json(raw: bytes | str) -> Any:
    """A JSON document whose every value Postgres can store.

    Raises:
        MalformedBody: empty, not UTF-8, not JSON, a member named twice, or nested too deeply.
        InvalidInput: NUL characters, lone surrogates, integers beyond 64 bits; says where.
    """
    if not raw.strip():
        raise MalformedBody("The body is empty; a JSON document is expected.")
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        document = json.loads(text, parse_constant=_no_such_number, object_pairs_hook=_without_repetition)
    except UnicodeDecodeError:
        raise MalformedBody("The body is not UTF-8.") from None
    except RecursionError:
        raise MalformedBody("The body is nested too deeply.") from None
    except ValueError as error:
        raise MalformedBody(f"The body is not JSON: {error}.") from None
    problems = [FieldProblem("body", *told) for told in islice(_unstorable(document), _MAX_PROBLEMS)]
    if problems:
        _refuse(problems)
    return document


def _no_such_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _without_repetition(members: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(members)
    if len(document) != len(members):
        raise ValueError("a member of an object is named twice")
    return document


def _unstorable(document: Any) -> Iterable[tuple[str, str]]:
    """Dotted path and complaint of each value that JSON allows and Postgres doesn't.

    Raises:
        MalformedBody: it is nested too deeply, or holds more values than any request needs.
    """
    # The path of a value is made only if there is a complaint: a long name may have a hundred thousand values below it.
    rest: list[tuple[_Path, int, Any]] = [((), 0, document)]
    count = 1
    while rest:
        path, depth, value = rest.pop()
        if depth > _MAX_DEPTH:
            raise MalformedBody("The body is nested too deeply.")
        count += len(value) if isinstance(value, dict | list) else 0
        if count > _MAX_VALUES:
            raise MalformedBody(f"The body holds more than {_MAX_VALUES:,} values.")
        if isinstance(value, dict):
            for name, member in value.items():
                if complaint := _complaint(name):
                    yield _dotted_path(path), f"Name of a member: {complaint}"
                rest.append(((path, name), depth + 1, member))
        elif isinstance(value, list):
            rest.extend(((path, index), depth + 1, member) for index, member in enumerate(value))
        elif complaint := _complaint(value):
            yield _dotted_path(path), complaint


def _dotted_path(path: _Path) -> str:
    names: list[str] = []
    while path:
        path, name = path
        names.append(str(name)[:_LONGEST_NAME])
    return ".".join(reversed(names))


def _complaint(value: Any) -> str | None:
    if isinstance(value, str):
        if "\0" in value:
            return "Holds a NUL character."
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            return "Holds half of a surrogate pair."
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return "Does not fit in 64 bits."
    if isinstance(value, float) and not math.isfinite(value):
        return "Is too large a number."
    return None


def _validate_strings(model: type[BaseModel], where: str, values: dict[str, Any]) -> BaseModel:
    for name in values:
        if complaint := _complaint(name):
            _refuse([FieldProblem(where, _printable(name), complaint)])
    for field, complaint in _unstorable(values):
        _refuse([FieldProblem(where, _printable(field), complaint)])
    for name, info in model.model_fields.items():
        if name in values and (complaint := _ill_written(info.annotation, values[name])):
            _refuse([FieldProblem(where, name, complaint)])
    try:
        # `model_validate_strings` knows no lists, and isn't needed: all types that a parameter may have are read from
        # text.
        return model.model_validate(values)
    except ValidationError as error:
        _refuse_validation(error, where)


def _refuse_validation(error: ValidationError, where: str) -> NoReturn:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    _refuse(
        FieldProblem(
            where,
            ".".join(map(str, detail["loc"])),
            _PLAINER.get(detail["type"]) or detail["msg"].removeprefix("Value error, "),
        )
        for detail in islice(details, _MAX_PROBLEMS)
    )


def _ill_written(annotation: Any, text: Any) -> str | None:
    """What is wrong with a number or truth value, or None. Pydantic would also take ``1_0`` for ten and ``on`` for true."""
    kinds = set(_plain_kinds(annotation))
    if bool in kinds and text not in ("true", "false"):
        return "Must be true or false."
    if int in kinds and not _INTEGER.fullmatch(text):
        return "Must be an integer."
    return None


def _refuse(problems: Iterable[FieldProblem]) -> NoReturn:
    found = tuple(problems)
    names = ", ".join(dict.fromkeys(f"{problem.where} {problem.field}".strip() for problem in found[:5]))
    raise InvalidInput(
        f"Wrong: {_printable(names)}{', …' if len(found) > 5 else ''}.",
        tuple(FieldProblem(p.where, _printable(p.field), p.message) for p in found[:_MAX_PROBLEMS]),
    )


def _printable(text: str) -> str:
    return text[:_LONGEST_FIELD].encode("utf-8", "replace").decode().replace("\0", "�")
