"""From bytes and strings to validated models. Everything that a client can send wrong ends here, as a clear `InvalidInput`.

That includes what pydantic accepts and Postgres refuses: NUL characters, lone surrogates, NaN, integers beyond 64 bits.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from types import UnionType
from typing import Annotated, Any, NoReturn, TypeVar, Union, get_args, get_origin
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError

from chalicelib.api.http.documents import MAX_PROBLEMS, complaint_about, parse_json, printable, refuse, unstorable
from chalicelib.api.schemas.common import Nothing
from chalicelib.errors import (
    FieldProblem,
    InvalidInput,
    TooLarge,
    UnsupportedMediaType,
)

ModelT = TypeVar("ModelT", bound=BaseModel)

# The parts of an upload are the largest document: 10,000 of them, with checksums.
MAX_JSON_BYTES = 4 * 1024**2
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
        refuse(FieldProblem("query", name, "Given more than once.") for name in repeated)
    found: dict[str, Any] = {}
    for sent, given in values.items():
        name = _DEEP.sub(_dotted, sent)
        family, dot, _ = name.partition(".")
        if dot and family in fields and get_origin(fields[family].annotation) is dict:
            members = found.setdefault(family, {})
            if isinstance(members, dict):
                if name in members:
                    refuse([FieldProblem("query", sent, "Given more than once.")])
                members[name] = given[0]
        elif sent in fields and get_origin(fields[sent].annotation) is dict:
            refuse([FieldProblem("query", sent, f"Written {sent}.name=value or {sent}[name]=value.")])
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
        if problems := [FieldProblem(where, *told) for told in islice(_ill_typed(model, document), MAX_PROBLEMS)]:
            refuse(problems)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        _refuse_validation(error, where)


def _refuse_unknown(model: type[BaseModel], document: dict[str, Any], where: str) -> None:
    """Refuse too many unknown fields before pydantic writes a complaint about each of them."""
    if model.model_config.get("extra") == "forbid" and len(document) > len(model.model_fields) + MAX_PROBLEMS:
        unknown = islice((name for name in document if name not in model.model_fields), MAX_PROBLEMS)
        refuse(FieldProblem(where, name, _PLAINER["extra_forbidden"]) for name in unknown)


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


def _validate_strings(model: type[BaseModel], where: str, values: dict[str, Any]) -> BaseModel:
    for name in values:
        if complaint := complaint_about(name):
            refuse([FieldProblem(where, printable(name), complaint)])
    for field, complaint in unstorable(values):
        refuse([FieldProblem(where, printable(field), complaint)])
    for name, info in model.model_fields.items():
        if name in values and (complaint := _ill_written(info.annotation, values[name])):
            refuse([FieldProblem(where, name, complaint)])
    try:
        # `model_validate_strings` knows no lists, and isn't needed: all types that a parameter may have are read from
        # text.
        return model.model_validate(values)
    except ValidationError as error:
        _refuse_validation(error, where)


def _refuse_validation(error: ValidationError, where: str) -> NoReturn:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    refuse(
        FieldProblem(
            where,
            ".".join(map(str, detail["loc"])),
            _PLAINER.get(detail["type"]) or detail["msg"].removeprefix("Value error, "),
        )
        for detail in islice(details, MAX_PROBLEMS)
    )


def _ill_written(annotation: Any, text: Any) -> str | None:
    """What is wrong with a number or truth value, or None. Pydantic would also take ``1_0`` for ten and ``on`` for true."""
    kinds = set(_plain_kinds(annotation))
    if bool in kinds and text not in ("true", "false"):
        return "Must be true or false."
    if int in kinds and not _INTEGER.fullmatch(text):
        return "Must be an integer."
    return None
