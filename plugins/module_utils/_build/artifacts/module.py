# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The update module: its sources, its build by Kbuild, and the proof that it carries what it should."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts import templates
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.assembler import Listing, described
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import Symbol
from ansible_collections.rebootless.splice.plugins.module_utils._build.host import commands, deps
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import (
    CarriedField,
    Chunk,
    Constant,
    DatumRow,
    FunctionRow,
    Part,
    Replacement,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common import names
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import program_member

HEADERS = ("rebootless.h", "relocs.h")
# enum rbl_reloc_type of kmod/relocs.h.
RELOC_NAMES = (
    "", "RBL_ABS64", "RBL_PC32", "RBL_ABS32", "RBL_ABS32S", "RBL_PC8", "RBL_PC64", "", "RBL_COPY64", "RBL_COPY8",
)  # fmt: skip
MODULE_PREFIX = "rbl_"
MODULE_NAME_LENGTH = 55  # MODULE_NAME_LEN of include/linux/module.h, without the NUL
_REPORT = "Report this update."
# What the helper module refuses an update for that calls itself so, and what to do about it.
_IDENTITY = {
    "name": (names.NAME, names.ABOUT_NAMES),
    "version": (names.VERSION, names.ABOUT_VERSIONS),
    "digest": (re.compile(r"[0-9a-f]{64}"), _REPORT),
    "build_id": (re.compile(r"([0-9a-f]{2})+"), _REPORT),
}

_WARNING = re.compile(r"warning.*objtool|objtool.*warning")
# No code calls what these tables name: functions that only jumps lead to, places whose fields the helper module
# fills in (templates.py), places and targets of static branches (late_static_keys.py).  None needs a landing mark.
# Labels of carried code and data end in .rbl, so nothing of the patch is called so.
_OUR_TABLES = r"objtool: (functions_\d+|fixups_\d+|\.rbl\.jump_entries\.\S+)\+0x[0-9a-f]+: "


@dataclasses.dataclass(frozen=True)
class Identity:
    """What an update module says of itself; ``digest`` is the hex SHA-256 that names the build."""

    name: str
    version: str
    digest: str
    build_id: str

    def __post_init__(self):
        for what, (pattern, next_step) in _IDENTITY.items():
            value = getattr(self, what)
            if not pattern.fullmatch(value):
                raise RebootlessError(
                    "bad_identity", f"An update cannot have the {what.replace('_id', ' ID')} {value!r}.", next_step
                )

    @property
    def module(self) -> str:
        """The kernel's name of the module: at most 55 characters, with the digest, so that two builds can be loaded."""
        module = MODULE_PREFIX + re.sub(r"[^a-z0-9]", "_", self.name)
        return f"{module[: MODULE_NAME_LENGTH - 9]}_{self.digest[:8]}"


def write_update_module(
    directory: str | os.PathLike,
    identity: Identity,
    replacement: Replacement,
    helper_sources: str | os.PathLike,
) -> None:
    """Writes the module's sources into ``directory``: descriptor, code, tables, match programs, Kbuild, headers.

    ``helper_sources`` is the directory with ``rebootless.h``.
    """
    deps.require()
    target = pathlib.Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    for header in HEADERS:
        shutil.copyfile(pathlib.Path(helper_sources) / header, target / header)
    for part in replacement.parts:
        path = target / program_member(part.name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(part.program)
    listing = Listing(replacement)
    values = _values(identity, replacement, listing)
    for name, template in (
        ("update.c", templates.UPDATE_C),
        ("replacement.S", templates.REPLACEMENT_S),
        ("tables.S", templates.TABLES_S),
        ("Kbuild", templates.KBUILD),
    ):
        environment = deps.jinja2.Environment(  # C and assembler, no HTML
            trim_blocks=True, keep_trailing_newline=True, undefined=deps.jinja2.StrictUndefined, autoescape=False
        )
        (target / name).write_text(environment.from_string(template).render(values), encoding="ascii")


def _values(identity: Identity, replacement: Replacement, listing: Listing) -> dict:
    parts = [_part_values(number, part, listing) for number, part in enumerate(replacement.parts)]
    chunks = [chunk for part in replacement.parts for chunk in described(part)]
    return {
        "name": identity.name,
        "version": identity.version,
        "digest": identity.digest,
        "module": identity.module,
        "build_id": [f"0x{byte:02x}" for byte in bytes.fromhex(identity.build_id)],
        "build_id_hex": identity.build_id,
        "parts": parts,
        "handles": list(dict.fromkeys(map(listing.handle, chunks))),
        "needs_false_key": any(part.jump_entries for part in replacement.parts),
        "namespaces": replacement.namespaces,
        "code": listing.code,
        "tables": listing.tables,
    }


def _part_values(number: int, part: Part, listing: Listing) -> dict:
    """What the templates say of one object."""
    return {
        "number": number,
        "name": part.object_name,
        "program": f"rbl_program_{number}",
        "program_size": len(part.program),
        "file": program_member(part.name),
        "functions": [_function_values(row, listing) for row in part.functions],
        "data": [_data_values(row, listing) for row in part.data],
        "fixups": [_fixup_values(chunk, field, listing) for chunk, field in part.fixups],
        "hooks": [
            {"stage": row.stage, "handle": listing.handle(row.chunk), "name": row.chunk.label} for row in part.hooks
        ],
        "flags": [
            *(["RBL_OBJECT_INIT"] if part.init else []),
            *([f"RBL_OBJECT_KEPT /* {', '.join(part.handed_out)} */"] if part.handed_out else []),
        ],
        "jump_entries": listing.handle(part.jump_entries[0]) if part.jump_entries else None,
        "n_jump_entries": len(part.jump_entries),
    }


def _function_values(row: FunctionRow, listing: Listing) -> dict:
    return {
        "unit": row.unit,
        "name": row.name,
        "handle": listing.handle(row.chunk) if row.chunk else None,
        "replacement_size": row.chunk.size if row.chunk else 0,
        "jump_offset": row.jump_offset,
        "symbol": row.symbol,
        "size": row.size,
    }


def _data_values(row: DatumRow, listing: Listing) -> dict:
    return {
        "unit": row.unit,
        "name": row.name,
        "handle": listing.handle(row.chunk),
        "symbol": row.symbol,
        "size": row.size,
    }


def _fixup_values(chunk: Chunk, field: CarriedField | Constant, listing: Listing) -> dict:
    return {
        "handle": listing.handle(chunk),
        "offset": field.offset,
        "type": RELOC_NAMES[field.fixup_type],
        "symbol": field.symbol,
        "addend": field.addend,
        "name": field.target,
    }


def build_update_module(
    directory: str | os.PathLike,
    identity: Identity,
    replacement: Replacement,
    headers: str | os.PathLike,
    helper_symvers: str | os.PathLike,
    make_arguments: tuple[str, ...] = (),
) -> pathlib.Path:
    """Builds what ``write_update_module`` wrote; returns the path of the ``.ko``.

    ``headers`` is the kernel's build directory for modules, ``helper_symvers`` the helper module's ``Module.symvers``,
    ``make_arguments`` what the tree's compiler needs (``CC=…``).  Raises ``RebootlessError``: ``module_build_failed``
    with the end of the tools' output, ``module_differs`` if the module does not hold the replacement's bytes.
    """
    where = pathlib.Path(directory).resolve()
    output = commands.run(
        [
            "make",
            "-C",
            os.fspath(headers),
            f"M={where}",
            f"KBUILD_EXTRA_SYMBOLS={pathlib.Path(helper_symvers).resolve()}",
            # Without DWARF the module is the same wherever it is built, and a tenth of the size.
            "KCFLAGS=-g0",
            "KAFLAGS=-g0",
            *make_arguments,
            commands.NO_BTF,
            "modules",
        ],
        "module_build_failed",
        f"Kbuild could not build the update module {identity.module}.",
        "Report this update with the output of the tools.",
        errors=True,
    )
    module = where / f"{identity.module}.ko"
    _check_module(module, replacement, output)
    return module


def _check_module(path: pathlib.Path, replacement: Replacement, output: str) -> None:
    """Every carried byte outside of relocated fields has to be the post object's, and every function unwindable."""
    built = ObjectFile(path)
    of_our_tables = re.compile(_OUR_TABLES + re.escape(built.arch.warning_without_mark))
    warnings = [line for line in output.splitlines() if _WARNING.search(line) and not of_our_tables.search(line)]
    if warnings:
        raise _differs(f"objtool does not understand its code: {warnings[0]}", output)
    symbols = {s.name: s for s in built.symbols if s.section is not None and s.kind in ("func", "object")}
    unwound = built.section_of(built.arch.unwound_places)
    covered = {r.target_section for r in unwound.relocations} if unwound else set()
    for chunk in replacement.carried:
        symbol = symbols.get(chunk.label)
        if symbol is None or symbol.section is None:
            raise _differs(f"{chunk.label} is not in it", output, chunk.label)
        if chunk.kind == "function" and symbol.section not in covered:
            raise _differs(f"{chunk.label} cannot be unwound", output, chunk.label)
        if not chunk.nobits and _without_fields(symbol, chunk) != chunk.data:
            raise _differs(f"{chunk.label} has other bytes than the compiler gave it", output, chunk.label)
        fields = symbol.section.relocations_in(symbol.value, symbol.value + chunk.size)
        if [r.offset - symbol.value for r in fields] != [f.offset for f in chunk.fields]:
            raise _differs(f"{chunk.label} has other relocations than the compiler gave it", output, chunk.label)


def _differs(what: str, output: str, function: str = "") -> RebootlessError:
    return RebootlessError(
        "module_differs",
        f"The update module was built, but {what}.",
        "Report this update with the output of the tools.",
        function=function,
        output=output.splitlines()[-40:],
    )


def _without_fields(symbol: Symbol, chunk: Chunk) -> bytes:
    if symbol.section is None:
        raise ValueError(f"{symbol.name} is defined nowhere")
    data = bytearray(symbol.section.data[symbol.value : symbol.value + chunk.size])
    for field in chunk.fields:
        data[field.offset : field.offset + field.size] = bytes(field.size)
    return bytes(data)
