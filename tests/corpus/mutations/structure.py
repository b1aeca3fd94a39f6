# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes edits, those above all that depend on what stands in the source.

Each puts its changes into a ``Draft``, or raises ``NotHere``.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.rebootless.splice.tests.corpus.mutations import kinds
from ansible_collections.rebootless.splice.tests.corpus.mutations.draft import Draft, NotHere, conditions
from ansible_collections.rebootless.splice.tests.corpus.mutations.source import NOT_TO_EDIT, Function, Node

_NUMBERS = re.compile(
    rb"(const )?((unsigned|signed) )?(int|long|short|char|bool|u?int(8|16|32|64)_t|[us](8|16|32|64)|s?size_t|loff_t"
    rb"|gfp_t|__be(16|32|64)|__[us](8|16|32|64)|__poll_t|vm_fault_t|blk_status_t|netdev_tx_t|irqreturn_t|dev_t|sector_t"
    rb"|long long|unsigned|signed)"
)
_MESSAGES = re.compile(
    r"(pr|dev|netdev|net|ata|sdev|xfs|btrfs|ext4|nfs|rpc|audit)_\w+|printk|panic|seq_p\w+|WARN(_ONCE)?"
)
# Edits that run something in passing do not go where what they run depends on the code that is edited.
NOT_CALM = re.compile(
    r"kernel/(locking|trace|printk|rcu|sched|time|irq|entry|events|kcsan|bpf|smp|softirq|stop_machine|context_tracking)"
    r"|arch/x86/(entry|events|kernel|lib|mm|xen|hyperv)|mm/(slab|slub|page_alloc|memcontrol|kasan|kfence|kmemleak|percpu)"
    r"|lib/(debugobjects|lockref|percpu|stackdepot|string|vsprintf|iomap)|drivers/(tty|clocksource|xen)"
)
_HINT = re.compile(r"\b(un)?likely\(")


def make(draft: Draft, operator: kinds.Operator) -> None:
    """Makes an edit of that kind.  Raises ``NotHere``."""
    if isinstance(operator, kinds.Edit):
        EDITS[operator.name](draft)
    elif isinstance(operator, kinds.Condition):
        node = draft.choose(conditions(draft.function))
        code = operator.code.replace("$C", draft.text(node)[1:-1])
        draft.replace(node, code, *operator.headers, parenthesised=True)
    elif (operator.calm and NOT_CALM.match(draft.path)) or (operator.built_in and draft.module):
        raise NotHere
    else:
        draft.put(operator.code, operator.before, *operator.headers)


def swapped_branches(draft: Draft) -> None:
    """``if (c) A else B`` becomes ``if (!(c)) B else A``."""
    found = []
    for node in draft.function.nodes("if_statement"):
        condition, consequence = node.child_by_field_name("condition"), node.child_by_field_name("consequence")
        other = node.child_by_field_name("alternative")
        last = other.named_children[-1] if other is not None and other.named_children else None
        if condition is None or consequence is None or last is None or node.has_error:
            continue
        if consequence.type == last.type == "compound_statement" and condition.type == "parenthesized_expression":
            found.append((condition, consequence, last))
    condition, consequence, last = draft.choose(found)
    one, two = draft.text(consequence), draft.text(last)
    draft.replace(condition, f"(!{draft.text(condition)})")
    draft.replace(consequence, two)
    draft.replace(last, one)


def early_return(draft: Draft) -> None:
    """A new way out of the function."""
    kind = draft.function.returns
    if kind == b"void":
        value = ""
    elif kind.endswith(b"*"):
        value = " NULL"
    elif _NUMBERS.fullmatch(kind):
        value = draft.random.choice([" 0", " 1"])
    else:
        raise NotHere
    draft.put(f"if ($F) return{value};")


def hint_dropped(draft: Draft) -> None:
    """``likely(c)`` becomes ``(c)``, or ``unlikely(c)``."""
    node = draft.choose([node for node in conditions(draft.function) if _HINT.search(draft.text(node))])
    other = draft.random.choice(["(", "likely(", "unlikely("])
    new = _HINT.sub(other, draft.text(node))
    if new == draft.text(node):
        raise NotHere
    draft.replace(node, new)


def own_call(draft: Draft) -> None:
    """The function calls itself, with what it was given."""
    draft.put(f"if ($F) (void){_call(draft.function)};")


def other_call(draft: Draft) -> None:
    """A call of another function of the source, which may be inlined nowhere any more, or once more."""
    function = draft.function
    others = [
        other
        for other in draft.source.functions
        if other.start < function.start
        and b"static" in other.words
        and not other.words & NOT_TO_EDIT
        and other.parameters is not None
        and all(_is_simple(row.type) for row in other.parameters)
    ]
    other = draft.choose(others)
    arguments = ", ".join(f"({row.type.decode()})0" for row in other.parameters or [])
    draft.put(f"if ($F) (void){other.name.decode()}({arguments});")


def message(draft: Draft) -> None:
    """Another text in a message."""
    found = []
    for node in draft.function.nodes("call_expression"):
        function, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
        if function is None or arguments is None or not _MESSAGES.fullmatch(draft.text(function)):
            continue
        found += [inner for inner in arguments.named_children if inner.type == "string_literal"]
    node = draft.choose(found)
    draft.replace(node, '"$N: " ' + draft.text(node))


def operations(draft: Draft) -> None:
    """A member of a constant table of functions becomes a new function, which calls the one that stood there."""
    rows = [(table, function) for table in draft.source.tables for function in _by_name(draft, table.function)]
    table, function = draft.choose(rows)
    if function.words & NOT_TO_EDIT or not function.returns:
        raise NotHere
    parameters = ", ".join(f"{row.type.decode()} {row.name.decode()}" for row in function.parameters) or "void"
    give = "" if function.returns == b"void" else "return "
    code = f"static {function.returns.decode()} $N({parameters})\n{{\n\t{give}{_call(function)};\n}}\n"
    draft.start = table.start
    draft.filled("", code)
    draft.changes.append((*table.value, draft.name.encode()))


def noinline(draft: Draft) -> None:
    """It is not inlined any more."""
    _head(draft, b"static inline", "static noinline") if b"inline" in draft.function.words else _head(
        draft, b"static", "static noinline"
    )


def inline(draft: Draft) -> None:
    """It is inlined wherever it is called."""
    if b"noinline" in draft.function.words or b"inline" in draft.function.words:
        raise NotHere
    _head(draft, b"static", "static __always_inline")


def cold(draft: Draft) -> None:
    """It goes to another part of the text, and so do the ways that lead to it."""
    _head(draft, b"static", "static __cold")


def parameter(draft: Draft) -> None:
    """One more parameter, in the function, its declarations and all of its calls."""
    function, source = draft.function, draft.source
    declared = list(_declarations(function.node.parent, function.name, source.of))
    calls = source.calls(function.name)
    if b"static" not in function.words or not calls or function.parameters is None:
        raise NotHere
    if source.mentions(function.name) != 1 + len(declared) + len(calls):
        raise NotHere
    for declarator in (function.declarator, *declared):
        _append(draft, t.cast(Node, declarator.child_by_field_name("parameters")), "int $N")
    for call in calls:
        argument = draft.random.choice(["READ_ONCE($N_given)", "0", "4"])
        _append(draft, t.cast(Node, call.child_by_field_name("arguments")), argument)
    draft.put("if ($N == 3) $W", "static int $N_given;\n", "linux/compiler.h")
    draft.start = min([draft.start, *(_declaration_of(node).start_byte for node in declared)])


def _append(draft: Draft, node: Node, text: str) -> None:
    """Appends something to a list in parentheses."""
    text = draft.filled(text)
    if draft.text(node).strip("()").strip() in ("", "void"):
        draft.changes.append((node.start_byte, node.end_byte, f"({text})".encode()))
    else:
        draft.changes.append((node.end_byte - 1, node.end_byte, f", {text})".encode()))


def _declaration_of(node: Node) -> Node:
    """The declaration that a declarator is of."""
    while node.type != "declaration":
        node = t.cast(Node, node.parent)
    return node


def _declarations(root: Node | None, name: bytes, of: t.Callable[[Node], bytes]) -> t.Iterator[Node]:
    for node in root.children if root is not None else ():
        if node.type == "declaration" and not node.has_error:
            inner = node.child_by_field_name("declarator")
            while inner is not None and inner.type == "pointer_declarator":
                inner = inner.child_by_field_name("declarator")
            named = inner.child_by_field_name("declarator") if inner is not None else None
            if inner is not None and inner.type == "function_declarator" and named is not None and of(named) == name:
                yield inner


def _head(draft: Draft, words: bytes, new: str) -> None:
    function = draft.function
    text = draft.source.text[function.start : function.body.start_byte]
    if not text.startswith(words + b" ") or b"static" not in function.words:
        raise NotHere
    draft.changes.append((function.start, function.start + len(words), draft.filled(new).encode()))


def _call(function: Function) -> str:
    if function.parameters is None:
        raise NotHere
    return f"{function.name.decode()}({', '.join(row.name.decode() for row in function.parameters)})"


def _is_simple(kind: bytes) -> bool:
    return kind.endswith(b"*") or _NUMBERS.fullmatch(kind) is not None


def _by_name(draft: Draft, name: bytes) -> list[Function]:
    found = [function for function in draft.source.functions if function.name == name]
    return [function for function in found if function.parameters is not None] if len(found) == 1 else []


EDITS: dict[str, t.Callable[[Draft], None]] = {
    edit.__name__: edit
    for edit in (
        *(swapped_branches, early_return, hint_dropped, own_call, other_call, message, operations),
        *(noinline, inline, cold, parameter),
    )
}
