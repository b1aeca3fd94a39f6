# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only one architecture or one distribution means is named in its own folder, and in no other one's code.

That goes for names, texts and numbers of the code, and for what it imports or includes: a library that decodes x86
belongs where x86 is known, and what chooses an architecture or a distribution imports a table, not a row of it.
Comments, docstrings and the documentation of modules may name both, as an example does.
"""

from __future__ import annotations

import ast
import pathlib
import re
import typing as t

from ansible_collections.rebootless.splice.tests.gates import texts

# What x86 alone has: its names, what its objects have beside code, its registers, its instructions in bytes.
INSTRUCTIONS = "|".join(
    (
        r"(?<!0)x86|amd64|capstone|keystone|iced_|retpoline|endbr|(?<![a-z])(int3|jmp|modrm|svm|vmx|bzimage)(?![a-z])",
        r"fentry|smp_locks|parainstr|paravirt|altinstr_aux|(return|call) ?thunk|ibt_|(?<![a-z])orc_",
        r"(?<!static_)(return|call)_sites",
        r"(?<![a-z])[re](ax|bx|cx|dx|si|di|sp|bp|ip|flags)(?![a-z0-9])|regs->\w+|(?<![a-z0-9])r(8|9|1[0-5])[dwb]?(?![a-z0-9])",
        r"(?<![a-z])(cr[0-48]|dr[0-7]|[xyz]mm[0-9]+|msr)(?![a-z0-9])",
        r"0x(e[89b]|cc)\b|0f1f(00|44|80)|f30f1efa",
    )
)
PACKAGES = r"debian|bookworm|trixie|dpkg|(?<![a-z])(apt|deb|mmdebstrap)(?![a-z])|linux-(image|headers|source|kbuild)"
DOCUMENTATION = {"DOCUMENTATION", "EXAMPLES", "RETURN"}


class Seam(t.NamedTuple):
    """``words`` are for ``rooms`` alone, of all that is below ``folder``."""

    folder: str
    rooms: tuple[str, ...]
    words: re.Pattern[str]


class Allowed(t.NamedTuple):
    """What may be said outside of its rooms, in all that is below ``place``, and why."""

    place: str
    words: str
    reason: str


UTILS = "plugins/module_utils"
BUILD = f"{UTILS}/_build"
DISTRIBUTIONS = (f"{BUILD}/distribution/", f"{BUILD}/host/distribution/", f"{UTILS}/_common/distribution/")
SEAMS = (
    Seam("plugins", (f"{BUILD}/arch/", f"{UTILS}/_target/arch/"), re.compile(INSTRUCTIONS, re.IGNORECASE)),
    Seam("plugins", DISTRIBUTIONS, re.compile(PACKAGES, re.IGNORECASE)),
    Seam("kmod", ("kmod/arch/",), re.compile(INSTRUCTIONS, re.IGNORECASE)),
)
ALLOWED = (
    Allowed(
        f"{BUILD}/verification/",
        r"_build\.arch\.x86\.check ",
        "the second reader knows one architecture, and may not share the table with what it checks",
    ),
    Allowed(
        f"{UTILS}/_common/match_program.py",
        "^(return thunk|retpoline|paravirt call|endbr64|call thunk)$",
        "what kinds of places are called, in the order of their numbers, of which the format has one row",
    ),
    Allowed(
        f"{BUILD}/distribution/debian/",
        "-amd64|x86_64-efi",
        "Debian has a name of its own for the architecture",
    ),
    Allowed(
        f"{BUILD}/lab/",
        r"_build\.distribution\.debian|^apt$|^Apt$",
        "the lab boots Debian's kernels, from Debian's packages",
    ),
    Allowed("plugins/modules/kernel_tree.py", "^debian$", "the values of the option source are the module's interface"),
    Allowed("plugins/modules/corpus_patch.py", r"_build\.distribution\.debian", "it compares Debian's source packages"),
)


def problems(root: pathlib.Path, allowed: t.Sequence[Allowed] = ALLOWED) -> t.Iterator[str]:
    unused = set(allowed)
    for path in texts.files(root):
        seams = [seam for seam in SEAMS if _is_below(path, (f"{seam.folder}/",)) and not _is_below(path, seam.rooms)]
        if not seams or path.suffix not in CODE:
            continue
        for line, text in CODE[path.suffix]((root / path).read_text()):
            for seam in seams:
                for found in seam.words.finditer(text):
                    reasons = [one for one in allowed if _is_below(path, (one.place,)) and re.search(one.words, text)]
                    unused -= set(reasons)
                    if not reasons:
                        yield f"{path}:{line}: {found[0]} is for {' and '.join(seam.rooms)} alone"
    for one in sorted(unused):
        yield f"{one.place}: nothing there says {one.words}, which the gate of seams allows it"


def _is_below(path: pathlib.Path, folders: tuple[str, ...]) -> bool:
    return path.as_posix().startswith(folders)


def of_python(source: str) -> t.Iterator[tuple[int, str]]:
    """Names, imports, texts and numbers (in hex) of the code, each with its line."""
    tree = ast.parse(source)
    silent = {id(node) for text in _documentation(tree) for node in ast.walk(text)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in silent:
            yield node.lineno, _text(node.value)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            start = f"{node.module}." if isinstance(node, ast.ImportFrom) and node.module else ""
            yield from ((node.lineno, f"{start}{alias.name} {alias.asname or ''}") for alias in node.names)
        for field in ("id", "attr", "arg") if isinstance(node, ast.expr | ast.arg | ast.keyword) else ("name",):
            if isinstance(getattr(node, field, None), str) and not isinstance(node, ast.alias):
                yield getattr(node, "lineno", 0), getattr(node, field)


def _text(value: t.Any) -> str:
    if isinstance(value, bytes):
        return f"{value!r} {value.hex()}"
    return f"{value:#x}" if isinstance(value, int) else str(value)


def _documentation(tree: ast.Module) -> t.Iterator[ast.expr]:
    """Docstrings, and what Ansible shows as the documentation of a plugin."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        elif isinstance(node, ast.Assign):
            names = {one.id for one in node.targets if isinstance(one, ast.Name)}
            if names & DOCUMENTATION:
                yield node.value
        elif isinstance(node, ast.ClassDef) and node.name == "ModuleDocFragment":
            yield from (row.value for row in node.body if isinstance(row, ast.Assign))


def of_c(source: str) -> t.Iterator[tuple[int, str]]:
    """The lines of the code with its texts, as of inline assembly and of what it includes, without comments."""
    plain = texts.C_TOKENS.sub(lambda found: "\n" * found[0].count("\n") if found["comment"] else found[0], source)
    yield from enumerate(plain.splitlines(), 1)


CODE: dict[str, t.Callable[[str], t.Iterator[tuple[int, str]]]] = {".py": of_python, ".c": of_c, ".h": of_c}


if __name__ == "__main__":
    texts.finish(problems(pathlib.Path()))
