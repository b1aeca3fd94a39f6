# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only one architecture or one distribution means is named in its own folder, and in no other one's code.

Comments and docstrings may name both, as an example does, and imports are for the gate of imports.
"""

from __future__ import annotations

import ast
import pathlib
import re
import typing as t

from ansible_collections.rebootless.splice.tests.gates import texts
from ansible_collections.rebootless.splice.tests.gates.kmod import TOKENS

INSTRUCTIONS = (
    r"(?<!0)x86|amd64|capstone|retpoline|endbr|(?<![a-z])(int3|jmp|rsp|rip|rax|modrm)(?![a-z])|0x(e[89b]|cc)\b"
)
PACKAGES = r"debian|bookworm|dpkg|(?<![a-z])(apt|deb|mmdebstrap)(?![a-z])|linux-(image|headers|source|kbuild)"


class Seam(t.NamedTuple):
    """``words`` are for ``rooms`` alone, of all that is below ``folder``; ``room`` is where they should go."""

    folder: str
    rooms: tuple[str, ...]
    words: re.Pattern[str]
    room: str


BUILD = "plugins/module_utils/_build"
SEAMS = (
    # Debian's packages have its name of the architecture; host/deps.py holds what libraries are there.
    Seam(
        BUILD,
        (f"{BUILD}/arch/", f"{BUILD}/distribution/", f"{BUILD}/host/deps.py"),
        re.compile(INSTRUCTIONS, re.IGNORECASE),
        f"{BUILD}/arch",
    ),
    # The lab boots Debian's kernels.
    Seam(
        BUILD,
        (f"{BUILD}/distribution/", f"{BUILD}/lab/"),
        re.compile(PACKAGES, re.IGNORECASE),
        f"{BUILD}/distribution",
    ),
    Seam("kmod", ("kmod/arch/",), re.compile(INSTRUCTIONS, re.IGNORECASE), "kmod/arch"),
)


def problems(root: pathlib.Path) -> t.Iterator[str]:
    for path in texts.files(root):
        seams = [seam for seam in SEAMS if _is_below(path, (f"{seam.folder}/",)) and not _is_below(path, seam.rooms)]
        if seams and path.suffix in CODE:
            for line, text in CODE[path.suffix]((root / path).read_text()):
                for seam in seams:
                    found = seam.words.search(text)
                    if found:
                        yield f"{path}:{line}: {found[0]} is for {seam.room}/ alone"


def _is_below(path: pathlib.Path, folders: tuple[str, ...]) -> bool:
    return path.as_posix().startswith(folders)


def of_python(source: str) -> t.Iterator[tuple[int, str]]:
    """Names, texts and numbers (in hex) of the code, each with its line."""
    tree = ast.parse(source)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documents:
            yield node.lineno, f"{node.value:#x}" if isinstance(node.value, int) else str(node.value)
        for field in ("id", "attr", "arg") if isinstance(node, ast.expr | ast.arg | ast.keyword) else ("name",):
            if isinstance(getattr(node, field, None), str) and not isinstance(node, ast.alias):
                yield getattr(node, "lineno", 0), getattr(node, field)


def of_c(source: str) -> t.Iterator[tuple[int, str]]:
    """The lines of the code, without comments and strings."""
    plain = TOKENS.sub(lambda found: "\n" * found[0].count("\n"), source)
    yield from enumerate(plain.splitlines(), 1)


CODE: dict[str, t.Callable[[str], t.Iterator[tuple[int, str]]]] = {".py": of_python, ".c": of_c, ".h": of_c}


if __name__ == "__main__":
    texts.finish(problems(pathlib.Path()))
