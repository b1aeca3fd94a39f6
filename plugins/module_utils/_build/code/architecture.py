# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the build host has to know of an architecture: one record, outside of which no instruction of it is named."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Set

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import (
    RelocationType,
    SpecialSection,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# Symbols that the symbol table leaves out: its own tables (is_ignored_symbol in scripts/kallsyms.c).
_KALLSYMS_TABLES = frozenset(
    f"kallsyms_{name}"
    for name in (
        *("addresses", "offsets", "relative_base", "num_syms", "names", "markers"),
        *("token_table", "token_index", "seqs_of_names"),
    )
)


@dataclasses.dataclass(frozen=True)
class Around:
    """What is known of code beside its bytes, for ``Architecture.lets_out``.

    ``leaving`` are the fields that mean something outside of the code: its name if it is a global symbol, else "".
    ``leads`` says of instructions, by their offsets, where they may go on as well: a static branch at its target, one
    that faults at its fixup.  ``readers`` are names of functions that keep no address that they are given, and
    ``inside(field, registers)`` says whether the code that the branch with that field leads to lets out what they hold.
    """

    leaving: Mapping[int, str]
    leads: Mapping[int, Set[int]]
    readers: Set[str]
    inside: Callable[[int, frozenset[str]], bool]


@dataclasses.dataclass(frozen=True)
class Rewriter:
    """One mechanism that rewrites code.

    ``function(pre, entry)`` yields the rewrites of an entry of ``entry_size`` bytes; with ``needs_before`` it also
    gets the function that says what code looks like before this mechanism's turn; with ``whole_section`` it is
    ``function(pre, section)`` (of all sections with code if it stands beside ``CODE``).
    """

    function: Callable
    entry_size: int = 0
    needs_before: bool = False
    whole_section: bool = False


CODE = "(code)"  # beside a rewriter, in place of a section's name: all sections with code


@dataclasses.dataclass(frozen=True)
class Kernel:
    """How one series of kernels of one architecture rewrites itself.

    ``rewriters`` are ``(section, mechanism)`` in the order of the boot; a section's name can be ``CODE``, or end with
    ``*``.  ``own_symbols`` is what the kernel puts into the code of modules, too, without exporting it.
    ``absolute_symbols`` are beginnings of the names of symbols that the linker script makes and the symbol table leaves
    out.
    """

    series: str
    rewriters: tuple[tuple[str, Rewriter], ...]
    own_symbols: frozenset[str]
    absolute_symbols: tuple[str, ...]

    def lacks_in_symbol_table(self, name: str) -> bool:
        """Whether a built-in kernel has a symbol of that name that its symbol table leaves out."""
        return name in _KALLSYMS_TABLES or name.startswith(self.absolute_symbols)


@dataclasses.dataclass(frozen=True)
class SourcePaths:
    """Paths in the kernel's source; directories end with a slash, patterns are for ``re.fullmatch``.

    ``boot_only`` is a pattern of what runs only while the kernel boots, ``vdso`` the directory of the code that is
    mapped into processes, ``vdso_headers`` a pattern of its headers elsewhere, ``carried`` the directories of code that
    the kernel only carries as data for another environment.  ``offsets`` are the C sources of which Kbuild makes
    headers of offsets for assembler code.
    """

    boot_only: str
    vdso: str
    vdso_headers: str
    carried: tuple[str, ...]
    offsets: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Emulator:
    """QEMU for it: the program, the machine type, and the first serial port as Linux calls it.

    ``virtualization`` are the flags of /proc/cpuinfo of which a processor needs one, so that KVM can be used.
    ``firmware`` and ``firmware_variables`` are the files of a UEFI firmware that knows Secure Boot, and of an empty
    store of its variables, below the directory where the distribution has firmware.
    """

    program: str
    machine: str
    console: str
    virtualization: frozenset[str]
    firmware: str
    firmware_variables: str


@dataclasses.dataclass(frozen=True, eq=False)
class Architecture:
    """One architecture.

    Names: ``name`` as ``uname -m`` says it, ``source`` below ``arch/`` of the kernel's source, ``elf_machine`` as
    pyelftools names the machine of an ELF file.

    Objects: ``relocations`` by number; ``pointer`` and ``section_offset`` are the types of 8- and 4-byte addresses that
    DWARF has; ``branch_types`` are the types of a branch's distance, by the size of the field (those that the assembler
    resolved need none, and get it from here).  ``special_sections`` and ``harmless_sections`` add to the tables of
    ``objects/special_sections.py``, ``lifetimes`` (pattern, word) to that of ``objects/lifetimes.py``.
    ``runtime_constants`` has, for the beginning of the name of a table named after a variable, the type of field
    (``enum rbl_reloc_type``) that the boot writes for it.  ``tables_of_places`` are special sections whose entries
    point to code that runs, or to where it goes on, for the kernel alone.  ``unwind_tables`` begins the names of the
    tables that say how code is unwound, ``unwound_places`` is the one of them that points to the code.

    Instructions: ``instructions(code)`` are ``(start, end)`` of each; ``memory_operand_fields(code)`` the offsets of
    fields that an instruction uses as the address of its operand; ``direct_branches(code, start)`` are ``(offset of the
    distance, its size, destination)``; ``ends_with_call(code)`` and ``ends_with_branch(code)`` tell opcodes in front of
    a distance of 4 bytes; ``nop_for_jump(code)`` is the nop that takes the place of the jump at its start, or empty.
    ``lets_out(code, offset, around)`` says whether the address at the field at ``offset`` may get out of a function,
    ``lets_out(code, offset, around, registers)`` whether those in ``registers`` may from there (``x86/escapes.py``).

    Patching: a jump has ``jump_size`` bytes; ``jump`` are its bytes, of which ``branch_types[4]`` relocates the last
    four.  ``landing_mark`` stands at a function's entry where indirect calls need one; objtool says
    ``warning_without_mark`` of a pointer to code without it.  ``tracing_call_size`` is the size of the call behind it,
    of ``tracing_call``.  ``rewritten_calls`` are beginnings of names of what is called in code
    that the kernel rewrites when it loads a module, ``calls_without_work`` those of what compiled code calls for the
    sake of tracing and mitigations alone; ``rewritten_at_load`` says, for a special section, how many bytes of code an
    entry of that content covers.  Of the kinds of places (``enum rbl_place_kind``), ``relocation_kind`` is a
    relocated field alone, ``static_branch_kind`` a static branch, ``mixed_kind`` what several mechanisms rewrite;
    ``rewritten_later`` are those that the kernel writes at any time after it has compared what stands there.

    ``never_left`` has, for functions that some threads never leave, which ones, a key of ``findings/never_left.py``.

    Images: ``payload(image)`` is the compressed kernel in a boot image; it raises ``ValueError`` if it is none.
    ``modules_base`` is the address of the first module in a kernel without KASLR.
    """

    name: str
    source: str
    elf_machine: str
    relocations: Mapping[int, RelocationType]
    pointer: RelocationType
    section_offset: RelocationType
    branch_types: Mapping[int, RelocationType]
    special_sections: Mapping[str, SpecialSection]
    harmless_sections: Mapping[str, str]
    lifetimes: tuple[tuple[str, str], ...]
    runtime_constants: Mapping[str, int]
    tables_of_places: tuple[str, ...]
    unwind_tables: str
    unwound_places: str
    instructions: Callable[[bytes], list[tuple[int, int]]]
    memory_operand_fields: Callable[[bytes], frozenset[int]]
    direct_branches: Callable[[bytes, int], Iterator[tuple[int, int, int]]]
    ends_with_call: Callable[[bytes], bool]
    ends_with_branch: Callable[[bytes], bool]
    nop_for_jump: Callable[[bytes], bytes]
    lets_out: Callable[..., bool]
    jump: bytes
    landing_mark: bytes
    warning_without_mark: str
    tracing_call: str
    tracing_call_size: int
    rewritten_calls: tuple[str, ...]
    calls_without_work: tuple[str, ...]
    rewritten_at_load: Mapping[str, Callable[[bytes], int]]
    relocation_kind: int
    static_branch_kind: int
    mixed_kind: int
    rewritten_later: Mapping[int, str]
    never_left: Mapping[str, str]
    payload: Callable[[bytes], bytes]
    modules_base: int
    paths: SourcePaths
    emulator: Emulator
    kernels: Mapping[str, Kernel]

    jump_size = property(lambda self: len(self.jump))

    def kernel_of(self, version: str) -> Kernel:
        """The rules for a kernel by its version or release (``6.1.176-1``); refuses a series that has none."""
        series = ".".join(version.split(".")[:2])
        if series not in self.kernels:
            raise RebootlessError(
                "unsupported_kernel",
                f"How kernels of the series {series} rewrite their code is not known to this release.",
                f"Use a kernel of one of these series: {', '.join(self.kernels)}.",
            )
        return self.kernels[series]

    def special_section(self, name: str) -> SpecialSection | None:
        """What only this architecture has under that name; tables named after variables are told by their beginning."""
        by_prefix = (kind for prefix, kind in self.special_sections.items() if prefix in self.runtime_constants)
        return self.special_sections.get(name) or next((k for k in by_prefix if name.startswith(k.name)), None)

    def lifetime_of(self, section_name: str) -> str:
        """The word for a section that only this architecture has; "" for all others."""
        return next((word for pattern, word in self.lifetimes if re.match(pattern, section_name)), "")

    def runtime_constant(self, section_name: str) -> tuple[int, str] | None:
        """For a table of the boot's constants: the type of field, and the variable that it is named after."""
        prefix = next((p for p in self.runtime_constants if section_name.startswith(p)), None)
        return (self.runtime_constants[prefix], section_name[len(prefix) :]) if prefix is not None else None
