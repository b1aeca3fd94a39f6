# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that check themselves: each is a dataclass that stands for one kind of JSON table.

A table has exactly the fields of its record, and each value is what its field says; anything else is refused with the
name of the field and the place where it stands.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.value_checks import one_of
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.fields import (
    A_LIST_OF_TABLES,
    A_TABLE,
    Value,
    wrong,
)

Row = t.Dict[str, t.Any]
R = t.TypeVar("R", bound="Record")


class FieldKind(t.Protocol):
    """What a field holds: how its value is read from JSON, with a check, and written back."""

    def read(self, value: t.Any, name: str, where: str, code: str) -> t.Any: ...

    def write(self, value: t.Any) -> t.Any: ...


class One(t.NamedTuple):
    """A record, or null if ``nullable``."""

    kind: type[Record]
    nullable: bool = False

    def read(self, value: t.Any, name: str, where: str, code: str) -> t.Any:
        if value is None and self.nullable:
            return None
        return self.kind.from_json(value, f"{where}, {name},", code)

    def write(self, value: t.Any) -> t.Any:
        return None if value is None else value.to_json()


class ListOf(t.NamedTuple):
    """A list of records.

    ``title`` is what refusals call one of them, by its number as in ``batch {}``, or by its field ``by`` as in
    ``kernel {}``; ``code`` is the refusals' own.  Without ``empty`` the list has at least one record.
    """

    kind: type[Record]
    title: str
    by: str | None = None
    code: str | None = None
    empty: bool = True

    def read(self, value: t.Any, name: str, where: str, code: str) -> t.Any:
        rows = A_LIST_OF_TABLES.read(value, name, where, code)
        if not rows and not self.empty:
            raise wrong(code, where, f"has {name}: [], which is not a list with something in it")
        return [self._one(number, row, where, code) for number, row in enumerate(rows)]

    def _one(self, number: int, row: Row, where: str, code: str) -> Record:
        title = self.title.format(row.get(self.by, "") if self.by else number)
        return self.kind.from_json(row, f"{where}, {title},", self.code or code)

    def write(self, value: t.Any) -> t.Any:
        return [record.to_json() for record in value]


class TableOf(t.NamedTuple):
    """Records by name; ``title`` is what refusals call one of them, as in ``host {}``."""

    kind: type[Record]
    title: str

    def read(self, value: t.Any, name: str, where: str, code: str) -> t.Any:
        rows = A_TABLE.read(value, name, where, code).items()
        return {key: self.kind.from_json(row, f"{where}, {self.title.format(key)},", code) for key, row in rows}

    def write(self, value: t.Any) -> t.Any:
        return {key: record.to_json() for key, record in value.items()}


def holds(kind: FieldKind, omit: bool = False, **more: t.Any) -> Row:
    """The metadata of a record's field.  With ``omit`` its default is not written; ``more`` is the reader's own."""
    return {"kind": kind, "omit": omit, **more}


@dataclasses.dataclass(frozen=True)
class Record:
    """Base of the records.  ``HEAD`` is constant in all files.

    A field may be missing in JSON if its default is not written, and in what an operator writes (``BY_OPERATOR``) if it
    has a default: a file of the collection's own from which ``freezes`` is lost must not be read as one without any.
    """

    HEAD: t.ClassVar[Row] = {}
    BY_OPERATOR: t.ClassVar[bool] = False

    @classmethod
    def from_json(cls: type[R], row: t.Any, where: str, code: str) -> R:
        """The record that a table holds.

        Raises ``RebootlessError`` with ``code`` that names the field; ``where`` begins its sentence.
        """
        if not isinstance(row, dict):
            raise wrong(code, where, "is no table")
        own = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(row) - set(own) - set(cls.HEAD), key=str)
        needed = {name for name, field in own.items() if cls._is_needed(field)} | set(cls.HEAD)
        missing = sorted(needed - set(row))
        if unknown or missing:
            raise wrong(code, where, f"has the unknown field {unknown[0]!r}" if unknown else f"lacks {missing[0]!r}")
        for name, value in cls.HEAD.items():
            Value(one_of(value), str(value)).read(row[name], name, where, code)
        record = cls(
            **{
                name: field.metadata["kind"].read(row[name], name, where, code)
                for name, field in own.items()
                if name in row
            }
        )
        record.check(where, code)
        return record

    @classmethod
    def _is_needed(cls, field: dataclasses.Field[t.Any]) -> bool:
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        return not has_default or not (cls.BY_OPERATOR or field.metadata["omit"])

    def check(self, where: str, code: str) -> None:
        """What no field can check by itself.  Raises ``RebootlessError`` with ``code``; ``where`` begins its sentence.

        Called once, by :meth:`from_json`.
        """

    def to_json(self) -> Row:
        """The table that :meth:`from_json` reads."""
        found = dict(self.HEAD)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not (field.metadata["omit"] and value == _default(field)):
                found[field.name] = field.metadata["kind"].write(value)
        return found


@dataclasses.dataclass(frozen=True)
class FileRecord(Record):
    """Base of the records that are files of their own, which others name by their digest."""

    @property
    def content(self) -> bytes:
        """The bytes of the record's file."""
        return canonical.canonical(self.to_json())

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the record's content in its one form, in hex."""
        return canonical.sha256(canonical.canonical(self.to_json()))


def _default(field: dataclasses.Field[t.Any]) -> t.Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
