# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run-pre matching from Python: libmatch.so (kmod/matcher/match.c) through ctypes.

The library is the very code that the helper module runs; here it reads a target through Python: the distribution's
vmlinux on the build host, ``/proc/kcore`` in check mode.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import NONE, PLACE_KINDS, Program

OK = "ok"


class Target(t.Protocol):
    """What a match asks of its target.

    ``read`` returns exactly ``length`` bytes at ``address``, or None if any of them cannot be read.  ``lookup`` returns
    every address that the target's symbol table has for ``name`` in ``object_name`` ("vmlinux", a loadable module, or
    "" for anywhere).  ``prefetch`` is called once before, with all the (name, object_name) that will be looked up, for
    targets whose table can only be read from end to end.
    """

    def read(self, address: int, length: int) -> bytes | None: ...

    def lookup(self, name: str, object_name: str) -> list[int]: ...

    def prefetch(self, names: set[tuple[str, str]]) -> None: ...


READ = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint32)
ADDRESSES = ctypes.POINTER(ctypes.c_uint64)
LOOKUP = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(ADDRESSES))


class _Target(ctypes.Structure):
    """``struct rbl_target``"""

    _fields_ = [("context", ctypes.c_void_p), ("read", READ), ("lookup", LOOKUP)]


class _Report(ctypes.Structure):
    """``struct rbl_report``"""

    _fields_ = [
        ("code", ctypes.c_uint32),
        ("section", ctypes.c_uint32),
        ("symbol", ctypes.c_uint32),
        ("place_kind", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
        ("address", ctypes.c_uint64),
        ("candidates", ctypes.c_uint32),
        ("survivors", ctypes.c_uint32),
        ("expected", ctypes.c_uint8 * 16),
        ("found", ctypes.c_uint8 * 16),
        ("compared", ctypes.c_uint64),
    ]


class _Result(ctypes.Structure):
    """``struct rbl_result``"""

    _fields_ = [("bases", ADDRESSES), ("values", ADDRESSES), ("known", ctypes.POINTER(ctypes.c_uint8))]


@dataclasses.dataclass
class MatchResult:
    """What a match found.

    ``code`` is ``ok`` or why it was refused, with its ``sentence`` and ``next_step``.  ``bases`` maps section indexes
    to addresses and ``values`` symbol indexes to values; both are empty unless ``ok``.  ``compared`` counts bytes.
    The rest is the report of kmod/matcher/match.h: indexes are None where it concerns nothing.
    """

    code: str
    sentence: str
    next_step: str
    compared: int
    section: int | None
    symbol: int | None
    place_kind: int | None
    offset: int
    address: int
    expected: bytes
    found: bytes
    candidates: int
    survivors: int
    bases: dict[int, int]
    values: dict[int, int]

    @property
    def ok(self) -> bool:
        return self.code == OK

    def details(self, program: Program) -> dict[str, t.Any]:
        """The report in words, as JSON-able facts; empty if the match succeeded.

        ``offset`` counts from ``function``, the nearest symbol before, or from the section if it has none.
        """
        details: dict[str, t.Any] = {}
        if self.ok:
            return details
        if self.section is not None:
            section = program.sections[self.section]
            details.update(object=section.object, unit=section.unit, section=section.name, candidates=self.candidates)
            if self.survivors > 1:
                details["survivors"] = self.survivors
            if self.address:
                name, offset = program.symbol_at(self.section, self.offset) or ("", self.offset)
                details.update(function=name, offset=offset, section_offset=self.offset, address=f"{self.address:#x}")
            if self.expected:
                details.update(expected=self.expected.hex(), found=self.found.hex())
        if self.place_kind is not None:
            details["place"] = PLACE_KINDS[self.place_kind]
        if self.symbol is not None:
            details["symbol"] = program.describe(self.symbol)
        return details

    def raise_refusal(self, program: Program) -> None:
        """Raises the refusal as ``RebootlessError``; returns if there is none."""
        if self.ok:
            return
        details = self.details(program)
        where = details.get("function") or details.get("symbol") or ""
        sentence = f"{self.sentence[:-1]}: {where}." if where else self.sentence
        raise RebootlessError(self.code, sentence, self.next_step, **details)


class Matcher:
    """The matcher of the library at ``path``: ``_build.artifacts.matcher_library`` makes it, packages hold it.

    To load one from bytes, give it the path of a ``_target.kernel.memory_file``.  Raises ``RebootlessError``
    (``library_unusable``) if this host cannot load it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            library = ctypes.CDLL(str(path))
            self._check = library.rbl_check
            self._match = library.rbl_match
            self._scratch_size = library.rbl_scratch_size
            self._texts = (library.rbl_code_name, library.rbl_code_sentence, library.rbl_code_next_step)
        except (OSError, AttributeError) as error:
            raise RebootlessError(
                "library_unusable",
                f"The match library cannot be loaded on this host: {error}.",
                "Check that the host's architecture is the package's, and copy the package again.",
            ) from error
        self._check.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
        self._check.restype = ctypes.c_uint32
        self._scratch_size.argtypes = [ctypes.c_void_p]
        self._scratch_size.restype = ctypes.c_uint64
        self._match.argtypes = [
            ctypes.c_void_p,
            ctypes.c_uint64,
            ctypes.POINTER(_Target),
            ctypes.c_void_p,
            ctypes.POINTER(_Result),
            ctypes.POINTER(_Report),
        ]
        self._match.restype = ctypes.c_uint32
        for function in self._texts:
            function.argtypes = [ctypes.c_uint32]
            function.restype = ctypes.c_char_p

    def explain(self, number: int) -> tuple[str, str, str]:
        """Name, sentence and next step of a code's number."""
        name, sentence, next_step = (function(number).decode() for function in self._texts)
        return name, sentence, next_step

    def check(self, program: bytes) -> None:
        """Raises ``RebootlessError`` (``bad_program``) unless the program is well formed."""
        number = self._check(_aligned(program), len(program))
        if number:
            raise RebootlessError(*self.explain(number))

    def match(self, program: bytes, target: Target) -> MatchResult:
        """Matches a program against a target.

        A refusal is a result, not an exception; what ``target`` raises passes through, a program that is not well
        formed raises ``RebootlessError`` (``bad_program``).
        """
        self.check(program)
        view = Program(program)
        surroundings = _Surroundings(view, target)
        blob = _aligned(program)
        scratch = ctypes.create_string_buffer(self._scratch_size(blob))
        bases = (ctypes.c_uint64 * max(len(view.sections), 1))()
        values = (ctypes.c_uint64 * max(len(view.symbols), 1))()
        known = (ctypes.c_uint8 * max(len(view.symbols), 1))()
        result = _Result(ctypes.cast(bases, ADDRESSES), ctypes.cast(values, ADDRESSES), known)
        report = _Report()
        outputs = ctypes.byref(result), ctypes.byref(report)
        number = self._match(blob, len(program), ctypes.byref(surroundings.structure), scratch, *outputs)
        if surroundings.error is not None:
            raise surroundings.error
        return make_result(self.explain(number), report, list(bases), list(values), list(known))


def make_result(
    explanation: tuple[str, str, str], report: _Report, bases: list[int], values: list[int], known: list[int]
) -> MatchResult:
    """The C side's report and ``struct rbl_result`` in Python's terms."""
    code, sentence, next_step = explanation
    refused = code != OK
    return MatchResult(
        code,
        sentence,
        next_step,
        compared=report.compared,
        section=_index(report.section),
        symbol=_index(report.symbol),
        place_kind=_index(report.place_kind),
        offset=report.offset,
        address=report.address,
        expected=bytes(report.expected[: report.length]),
        found=bytes(report.found[: report.length]),
        candidates=report.candidates,
        survivors=report.survivors,
        bases={} if refused else {index: base for index, base in enumerate(bases) if base},
        values={} if refused else {index: value for index, value in enumerate(values) if known[index]},
    )


def _aligned(program: bytes) -> ctypes.Array:
    """The program where the matcher's structures are aligned."""
    words = (ctypes.c_uint64 * (len(program) // 8 + 1))()
    ctypes.memmove(words, program, len(program))
    return words


def _index(number: int) -> int | None:
    return None if number == NONE else number


class _Surroundings:
    """A target as ``structure``, the C side's ``struct rbl_target``; ``error`` is what the target raised."""

    def __init__(self, program: Program, target: Target) -> None:
        self.error: BaseException | None = None
        self._target = target
        self._addresses: dict[int, tuple[ctypes.Array, t.Any]] = {}
        wanted = {index: symbol for index, symbol in enumerate(program.symbols) if symbol.in_symbol_table}
        target.prefetch({(symbol.name, symbol.object) for symbol in wanted.values()})
        for index, symbol in wanted.items():
            found = sorted(set(target.lookup(symbol.name, symbol.object)))
            array = (ctypes.c_uint64 * len(found))(*found)
            self._addresses[index] = (array, ctypes.cast(array, ADDRESSES))
        self.structure = _Target(None, READ(self._read), LOOKUP(self._lookup))

    def _read(self, context: int | None, address: int, buffer: int, length: int) -> int:
        # What a callback raises would be printed and lost.
        try:
            data = self._target.read(address, length)
        except BaseException as error:  # pylint: disable=broad-except
            self.error = self.error or error
            return -1
        if data is None or len(data) != length:
            return -1
        ctypes.memmove(buffer, data, length)
        return 0

    def _lookup(self, context: int | None, symbol: int, addresses: t.Any) -> int:
        array, pointer = self._addresses.get(symbol, ((), None))
        if array:
            addresses[0] = pointer
        return len(array)
