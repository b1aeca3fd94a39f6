# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A C source of the kernel as tree-sitter reads it: its functions, and the places in them where something can be put.

The parser does not preprocess.  What the kernel's macros make of C is masked before, byte for byte as long as it was,
so that places in the masked text are places in the source: attributes become blanks, loops of macros ``while``.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import typing as t

import tree_sitter
import tree_sitter_c

Node = tree_sitter.Node

# Attributes that the parser takes for names of types.
_ATTRIBUTES = re.compile(
    rb"\b(?:__(?:user|iomem|rcu|percpu|force|kernel|must_check|maybe_unused|always_unused|used|cold|hot|weak|visible"
    rb"|always_inline|malloc|pure|read_mostly|sched|ref|kprobes|init|exit|initdata|initconst|net_init|net_exit|net_initdata"
    rb"|meminit|cpuinit|latent_entropy|no_kcsan|no_sanitize_address|randomize_layout|lockfunc|bitwise|nocast"
    rb"|cacheline_aligned_in_smp|cacheline_aligned|ro_after_init|noreturn|printf|scanf)"
    rb"|noinline|noinline_for_stack|notrace|noinstr|asmlinkage|nokprobe_inline|fastcall|__printf\(\d+, \d+\)"
    rb"|__(?:acquires|releases|must_hold|cond_acquires|cond_releases|counted_by|alloc_size|aligned)\([^()\n]*\))"
)
_LOOPS = re.compile(rb"\b\w*for_each\w*(?=\s*\()")
_COMMENTS = re.compile(rb"/\*.*?\*/|//[^\n]*", re.DOTALL)
_WORDS_OF_HEAD = re.compile(rb"[A-Za-z_]\w*")
# Functions that run only while the kernel boots, or where nothing may be put.
NOT_TO_EDIT = {
    *(b"__init", b"__exit", b"__meminit", b"__cpuinit", b"__ref", b"noinstr", b"__head", b"__initcall", b"__noreturn"),
    *(b"__net_init", b"__net_exit", b"__visible", b"__weak", b"__always_inline", b"__entry_text", b"__cpuidle"),
}
_CONDITIONALS = {"preproc_if", "preproc_ifdef", "preproc_else", "preproc_elif", "preproc_elifdef"}
_LEAVES = {"return_statement", "goto_statement", "break_statement", "continue_statement"}


class Parameter(t.NamedTuple):
    """``type`` as it is written without the name, "" ``name`` if it has none."""

    type: bytes
    name: bytes


@dataclasses.dataclass(frozen=True)
class Function:
    """A definition of a function in ``source``; places are offsets in its text."""

    source: Source
    node: Node
    name: bytes

    @functools.cached_property
    def start(self) -> int:
        """Where its definition begins, with attributes that are masked."""
        before = len(self.source.masked[: self.node.start_byte].rstrip())
        skipped = self.source.text[before : self.node.start_byte]
        return self.node.start_byte - len(skipped.lstrip())

    @property
    def body(self) -> Node:
        return t.cast(Node, self.node.child_by_field_name("body"))

    @property
    def head(self) -> bytes:
        """All before its body, without comments."""
        return _COMMENTS.sub(b" ", self.source.text[self.start : self.body.start_byte])

    @property
    def words(self) -> set[bytes]:
        return set(_WORDS_OF_HEAD.findall(self.head))

    @functools.cached_property
    def declarator(self) -> Node:
        """Its name and parameters."""
        return t.cast(Node, _function_declarator(self.node))

    @property
    def returns(self) -> bytes:
        """The type that it returns, without ``static`` and attributes."""
        text = self.source.masked[self.start : self.declarator.start_byte]
        return b" ".join(word for word in text.split() if word not in (b"static", b"inline", b"extern"))

    @functools.cached_property
    def parameters(self) -> list[Parameter] | None:
        """Its parameters; None if they are not all understood, or there is no fixed number of them."""
        nodes = t.cast(Node, self.declarator.child_by_field_name("parameters")).named_children
        rows = [_parameter(self.source, node) for node in nodes if node.type != "comment"]
        if rows == [Parameter(b"void", b"")]:
            return []
        return None if any(row is None or not row.name for row in rows) else t.cast("list[Parameter]", rows)

    @functools.cached_property
    def places(self) -> list[int]:
        """Where a statement can be put, so that it is reached if what stands there is."""
        return [node.start_byte for node in self.statements if _is_reached(node)]

    @functools.cached_property
    def statements(self) -> list[Node]:
        """Its statements that stand in a block, and were read without errors."""
        return [
            child
            for block in self.nodes("compound_statement", "case_statement")
            if not block.has_error and (block.parent is None or block.parent.type != "switch_statement")
            for child in block.named_children
            if child.type.endswith("_statement") and child.type != "case_statement"
        ]

    def nodes(self, *types: str) -> list[Node]:
        """The nodes of these types in its body, in the order of the text; those of a macro's loop are no ``while``."""
        return [node for node in walk(self.body) if node.type in types and node.start_byte not in self.source.loops]


@dataclasses.dataclass(frozen=True)
class Table:
    """A member of a constant that is set to a function: where the declaration begins, the value, and its name."""

    start: int
    value: tuple[int, int]
    function: bytes


class Source:
    """``text`` of a source, ``masked`` as the parser reads it; ``functions`` that were read without errors."""

    def __init__(self, text: bytes) -> None:
        self.text, self.loops = text, {match.start() for match in _LOOPS.finditer(text)}
        self.masked = mask(text)
        language = tree_sitter.Language(tree_sitter_c.language())
        self._tree = tree_sitter.Parser(language).parse(self.masked)

    @property
    def has_error(self) -> bool:
        """Whether there is something in it that the parser does not take for C."""
        return self._tree.root_node.has_error

    @functools.cached_property
    def functions(self) -> list[Function]:
        """Definitions of functions whose heads are C for the parser; those of macros are not."""
        found = []
        for node in walk(self._tree.root_node, down=lambda node: node.type != "function_definition"):
            if node.type != "function_definition":
                continue
            declarator, body = _function_declarator(node), node.child_by_field_name("body")
            name = declarator.child_by_field_name("declarator") if declarator is not None else None
            if declarator is None or declarator.has_error or name is None or name.type != "identifier":
                continue
            function = Function(self, node, self.of(name))
            begins = function.start == 0 or self.text[function.start - 1 : function.start] == b"\n"
            if body is not None and body.type == "compound_statement" and begins:
                found.append(function)
        return found

    @functools.cached_property
    def tables(self) -> list[Table]:
        """Members of the source's constants that are functions of its own."""
        own = {function.name for function in self.functions}
        found = []
        for node in self._tree.root_node.children:
            if node.type != "declaration" or node.has_error or not re.match(rb"(static )?const struct ", self.of(node)):
                continue
            for pair in (inner for inner in walk(node) if inner.type == "initializer_pair"):
                value = pair.child_by_field_name("value")
                if value is not None and value.type == "identifier" and self.of(value) in own:
                    found.append(Table(node.start_byte, (value.start_byte, value.end_byte), self.of(value)))
        return found

    def calls(self, name: bytes) -> list[Node]:
        """All calls of a function by that name."""
        return [
            node
            for node in walk(self._tree.root_node)
            if node.type == "call_expression" and self.of(t.cast(Node, node.child_by_field_name("function"))) == name
        ]

    def mentions(self, name: bytes) -> int:
        """How often a word stands in the source, comments aside."""
        return len(re.findall(rb"\b%s\b" % re.escape(name), _COMMENTS.sub(b" ", self.text)))

    def of(self, node: Node) -> bytes:
        """The source's own text of a node."""
        return self.text[node.start_byte : node.end_byte]


def mask(text: bytes) -> bytes:
    """``text`` as the parser can read it, as long as it was."""
    text = _ATTRIBUTES.sub(lambda match: b" " * len(match[0]), text)
    return _LOOPS.sub(lambda match: b"while".ljust(len(match[0])) if len(match[0]) >= 5 else match[0], text)


def walk(node: Node, down: t.Callable[[Node], bool] = lambda node: True) -> t.Iterator[Node]:
    """A node and all that is in it, in the order of the text; not what is in those that are not ``down``."""
    yield node
    if down(node):
        for child in node.children:
            yield from walk(child, down)


def is_conditional(node: Node) -> bool:
    """Whether the preprocessor may leave it out."""
    return node.type in _CONDITIONALS or (node.parent is not None and is_conditional(node.parent))


def _function_declarator(node: Node) -> Node | None:
    """That of a definition, behind the stars of what it returns."""
    inner = node.child_by_field_name("declarator")
    while inner is not None and inner.type == "pointer_declarator":
        inner = inner.child_by_field_name("declarator")
    return inner if inner is not None and inner.type == "function_declarator" else None


def _parameter(source: Source, node: Node) -> Parameter | None:
    if node.type != "parameter_declaration":
        return None
    name = node.child_by_field_name("declarator")
    while name is not None and name.type == "pointer_declarator":
        name = name.child_by_field_name("declarator")
    if name is None:
        return Parameter(source.of(node).strip(), b"")
    if name.type != "identifier":  # an array or a function
        return None
    return Parameter(source.text[node.start_byte : name.start_byte].strip(), source.of(name))


def _is_reached(node: Node) -> bool:
    before = node.prev_named_sibling
    while before is not None and before.type == "comment":
        before = before.prev_named_sibling
    return before is None or before.type not in _LEAVES
