"""Rows into instances and back, by code that is written once for each model and statement.

An instance is made past validation: its values were validated when they were written, and codecs turn them into the
very same. Where a class has validators, private attributes or extras, they run: the row is validated instead.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel

from cassorm.driver.prepared import UNSET
from cassorm.errors import QueryError, RowError
from cassorm.orm.codec import Codec
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.pydantic_internals import is_validator, slot_setters, transforms
from cassorm.orm.values import ROUND32

M = TypeVar("M", bound=BaseModel)
Row = tuple[Any, ...]
Hydrate = Callable[[Sequence[Row]], list[Any]]


class Saved(tuple[Any, ...]):
    """What an instance held when it was written last: Python values, where a row that was read holds the driver's."""

    __slots__ = ()


def needs_validation(model: type[BaseModel]) -> str | None:
    """Why rows of this class have to be validated; None when they need not."""
    reason = transforms(model)
    if reason is not None:
        return reason
    for name, info in model.model_fields.items():
        if any(_validates(part) for part in info.metadata) or _inside(info.annotation):
            return f"a validator in the type of {name}"
    return None


def _validates(metadata: object) -> bool:
    return is_validator(metadata) and getattr(metadata, "func", None) is not ROUND32.func


def _inside(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated and any(_validates(part) for part in annotation.__metadata__):
        return True
    return any(_inside(arg) for arg in get_args(annotation))


def make_hydrate(
    model: type[BaseModel],
    fields: Sequence[FieldPlan],
    *,
    set_row: Callable[[Any, Any], None] | None = None,
    skip_without: int | None = None,
) -> Hydrate:
    """What turns rows of these columns into instances.

    `set_row` keeps the row with the instance. A row with NULL at `skip_without` is none: it stands for a partition
    that has nothing but static columns.
    """
    validates = needs_validation(model) is not None or set(model.model_fields) != {f.attribute for f in fields}
    names: dict[str, Any] = {"cls": model, "new": object.__new__, "given": set(model.model_fields), "set_row": set_row}
    values = ", ".join(f"{f.attribute!r}: {_expression(n, f, names)}" for n, f in enumerate(fields))
    lines = ["def hydrate(rows):", "    made = []", "    add = made.append", "    try:", "        for row in rows:"]
    lines.append(f"            ({', '.join(f'v{n}' for n in range(len(fields)))},) = row")
    if skip_without is not None:
        lines.append(f"            if v{skip_without} is None: continue")
    if validates:
        names["validate"] = model.__pydantic_validator__.validate_python
        lines.append(f"            m = validate({{{values}}}, by_name=True, by_alias=False)")
    else:
        names["set_values"], names["set_given"], names["set_extra"], names["set_private"] = slot_setters()
        lines += [
            "            m = new(cls)",
            f"            set_values(m, {{{values}}})",
            "            set_given(m, given)",
        ]
        lines += ["            set_extra(m, None)", "            set_private(m, None)"]
    if set_row is not None:
        lines.append("            set_row(m, row)")
    lines += ["            add(m)", "    except Exception as error:", "        raise explained(rows, error) from error"]
    names["explained"] = lambda rows, error: _explained(model, fields, rows, hydrate, error)
    hydrate: Hydrate = _compiled("hydrate", [*lines, "    return made"], names)
    return hydrate


def _expression(number: int, field: FieldPlan, names: dict[str, Any]) -> str:
    value = f"v{number}"
    codec = field.codec
    if codec.exact is None and codec.decode is None and (field.nullable or field.is_key):
        return value
    names[f"slow{number}"] = field.decoded
    if codec.exact is not None:
        names[f"exact{number}"] = codec.exact
        return f"{value} if type({value}) is exact{number} else slow{number}({value})"
    if codec.decode is None:
        return f"{value} if {value} is not None else slow{number}(None)"
    names[f"decode{number}"] = codec.decode
    return f"decode{number}({value}) if {value} is not None else slow{number}(None)"


def make_tuples(decoders: Sequence[Codec | Callable[[Any], Any] | None]) -> Hydrate:
    """What turns rows into tuples of Python values; None leaves a column as it is."""
    names: dict[str, Any] = {}
    parts = []
    for number, decoder in enumerate(decoders):
        value = f"v{number}"
        if isinstance(decoder, Codec):
            names[f"decode{number}"] = decoder.decoded
            if decoder.decode is None and decoder.empty is None:
                names[f"exact{number}"] = decoder.exact
                parts.append(value if decoder.exact is None else _expected(number))
                continue
        elif decoder is not None:
            names[f"decode{number}"] = decoder
        parts.append(value if decoder is None else f"decode{number}({value})")
    taken = ", ".join(f"v{number}" for number in range(len(parts)))
    if taken == ", ".join(parts):
        return list
    lines = ["def hydrate(rows):", f"    return [({', '.join(parts)},) for ({taken},) in rows]"]
    made: Hydrate = _compiled("hydrate", lines, names)
    return made


def _expected(number: int) -> str:
    return f"v{number} if type(v{number}) is exact{number} else decode{number}(v{number})"


def _explained(
    model: type[BaseModel], fields: Sequence[FieldPlan], rows: Sequence[Row], hydrate: Hydrate, error: Exception
) -> RowError:
    """What to say of an error of a codec's, or pydantic's; the row that it is of is looked for."""
    if len(rows) != 1:
        for row in rows:
            try:
                hydrate([row])
            except RowError as found:
                return found
        return RowError(repr(error), where=model.__name__)
    (row,) = rows
    if len(row) != len(fields):
        return RowError(f"a row of {len(row)} columns for {len(fields)} fields", where=model.__name__)
    key = {field.column: value for field, value in zip(fields, row, strict=True) if field.is_key}
    try:
        for field, value in zip(fields, row, strict=True):
            field.decoded(value)
    except RowError as found:
        found.key = key
        return found
    remedy = "Correct the row, or what the class asks of its values"
    return RowError(str(error), where=model.__name__, remedy=remedy, key=key)


def make_params(fields: Sequence[FieldPlan]) -> Callable[[Any], list[Any]]:
    """What turns an instance into the parameters of these columns.

    None that was given becomes NULL; None that is only the default leaves the column unset.

    Raises:
        QueryError: while turning: a value does not fit its column.
    """
    names: dict[str, Any] = {"UNSET": UNSET}
    parts = []
    for number, field in enumerate(fields):
        value = f"d[{field.attribute!r}]"
        encode = "{}" if field.codec.plain else f"encode{number}({{}})"
        names[f"encode{number}"] = field.codec.encode
        if field.nullable:
            missing = f"(None if {field.attribute!r} in given else UNSET)"
            parts.append(f"{encode.format('v')} if (v := {value}) is not None else {missing}")
        else:
            parts.append(encode.format(value))
    lines = ["def params(m):", "    d = m.__dict__"]
    if any(field.nullable for field in fields):
        lines.append("    given = m.__pydantic_fields_set__")
    lines += ["    try:", f"        return [{', '.join(parts)}]", "    except Exception:", "        return each(m)"]
    # Whatever a codec raised: the values are looked at one by one.
    names["each"] = lambda instance: [_param(field, instance) for field in fields]
    made: Callable[[Any], list[Any]] = _compiled("params", lines, names)
    return made


def _param(field: FieldPlan, instance: Any) -> Any:
    value = instance.__dict__.get(field.attribute, UNSET)
    if value is UNSET:
        raise QueryError("has no value", where=field.where, remedy="Make the instance through its class, with values")
    if value is not None:
        return field.encode(value)
    return None if field.attribute in instance.model_fields_set else UNSET


def make_snapshot(fields: Sequence[FieldPlan]) -> Callable[[Any], Saved]:
    """What keeps the values of an instance as they are now, for `changed`."""
    values = ", ".join(f"copy(d[{f.attribute!r}])" if f.codec.mutable else f"d[{f.attribute!r}]" for f in fields)
    lines = ["def snapshot(m):", "    d = m.__dict__", f"    return saved(({values},))"]
    made: Callable[[Any], Saved] = _compiled("snapshot", lines, {"saved": Saved, "copy": copy.deepcopy})
    return made


def changed(instance: Any, fields: Sequence[FieldPlan], row: Row) -> list[FieldPlan]:
    """The fields whose values are not those of `row`."""
    found = []
    for field, old in zip(fields, row, strict=True):
        value = instance.__dict__[field.attribute]
        before = old if type(row) is Saved else field.decoded(old)
        if value is not before and value != before:
            found.append(field)
    return found


def _compiled(name: str, lines: Sequence[str], names: dict[str, Any]) -> Any:
    scope = dict(names)
    # The text holds names of attributes as literals and nothing else that comes from outside.
    exec("\n".join(lines), scope)  # noqa: S102 - generated above
    return scope[name]
