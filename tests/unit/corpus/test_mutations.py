# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random edits of kernel sources: what is read of a source, and that every edit leaves C behind."""

from __future__ import annotations

import random

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.tests.corpus import entries, verdicts
from ansible_collections.rebootless.splice.tests.corpus.mutations.draft import Draft, NotHere, conditions
from ansible_collections.rebootless.splice.tests.corpus.mutations.draw import patch_of
from ansible_collections.rebootless.splice.tests.corpus.mutations.kinds import KINDS, Edit, Statement
from ansible_collections.rebootless.splice.tests.corpus.mutations.source import Source, is_conditional, mask
from ansible_collections.rebootless.splice.tests.corpus.mutations.structure import make

TEXT = b"""\
#include <linux/list.h>

struct item { struct list_head list; int value; };

static int count(const struct item __user *item, int limit);

/* count() is named here, too. */
static inline bool is_large(int value)
{
    return value > 4;
}

__init static int
count_at_boot(void)
{
    return 0;
}

static __always_inline __must_check
int count(const struct item __user *item, int limit)
{
    struct item *other;
    int sum = 0;

    list_for_each_entry(other, &item->list, list) {
        if (unlikely(other->value < 0)) {
            pr_warn("below zero: %d\\n", other->value);
            return -EINVAL;
        } else {
            sum += other->value;
        }
        cond_resched();
    }
    while (sum > limit)
        sum -= count(item, limit);
    switch (sum) {
    case 3:
        sum = 1;
        break;
    default:
        goto out;
        sum = 2;
    }
out:
    return sum;
}

#ifdef CONFIG_OTHER
static void conditional(void)
{
    barrier();
}
#endif

static int plain(const struct item *item, int limit)
{
    if (likely(limit))
        return count(item, 3);
    if (!is_large(limit)) {
        pr_info("small\\n");
        limit = 0;
    } else {
        limit = 1;
    }
    return limit;
}

static const struct item_operations operations = {
    .plain = plain,
    .limit = 4,
};
"""


@pytest.fixture(scope="module")
def source():
    return Source(TEXT)


def function_of(source, name):
    return next(function for function in source.functions if function.name == name)


def test_what_is_masked_stays_where_it_was():
    assert len(mask(TEXT)) == len(TEXT)
    assert b"__user" not in mask(TEXT) and b"list_for_each_entry" not in mask(TEXT)


def test_functions_are_read_with_their_attributes(source):
    names = [function.name for function in source.functions]
    assert names == [b"is_large", b"count_at_boot", b"count", b"conditional", b"plain"]
    count, boot = function_of(source, b"count"), function_of(source, b"count_at_boot")
    assert TEXT[count.start :].startswith(b"static __always_inline") and b"__always_inline" in count.words
    assert b"__init" in boot.words and TEXT[boot.start :].startswith(b"__init static")
    assert count.returns == b"int"
    assert [row.name for row in count.parameters] == [b"item", b"limit"]
    assert [is_conditional(function.node) for function in source.functions] == [False, False, False, True, False]


def test_loops_of_macros_have_no_condition(source):
    count = function_of(source, b"count")
    texts = [source.of(node) for node in conditions(count)]
    assert texts == [b"(unlikely(other->value < 0))", b"(sum > limit)"]


def test_statements_are_put_only_where_they_are_reached(source):
    places = [TEXT[place:].split(b"\n")[0] for place in function_of(source, b"count").places]
    assert b"goto out;" in places and b"cond_resched();" in places and b"sum = 1;" in places
    assert b"sum = 2;" not in places  # behind a goto
    assert b"break;" in places and b"sum -= count(item, limit);" not in places  # not in a block


def edited(operator, seed, name=b"plain"):
    source = Source(TEXT)
    draft = Draft("fs/a.c", function_of(source, name), random.Random(seed), "rbl_1_2")
    make(draft, operator)
    return draft.result()


# The parser does not know these of the kernel's macros as what they are.
MACROS = (b"DEFINE_", b"DECLARE_", b"ALTERNATIVE", b"_ASM_EXTABLE")
OPERATORS = [
    pytest.param(operator, id=f"{kind}-{number}") for kind, row in KINDS.items() for number, operator in enumerate(row)
]


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_edit_leaves_c_behind(operator):
    results = set()
    for seed in range(12):
        for name in (b"plain", b"is_large", b"count"):
            try:
                results.add(edited(operator, seed, name))
            except NotHere:
                continue
    assert results, "the operator has no place in the source"
    for result in results:
        assert result.count(b"{") == result.count(b"}") and result.count(b"(") == result.count(b")"), result.decode()
        assert any(macro in result for macro in MACROS) or not Source(result).has_error, result.decode()
        assert b"$" not in result and result != TEXT


def test_an_edit_is_repeated_by_its_seed():
    operator = KINDS["static"][1]
    assert edited(operator, 5) == edited(operator, 5)


def test_what_an_edit_needs_stands_before_the_function():
    result = edited(KINDS["per-CPU"][0], 1).decode()
    assert result.index("#include <linux/percpu.h>") < result.index("DEFINE_PER_CPU(unsigned long, rbl_1_2)")
    assert result.index("DEFINE_PER_CPU(") < result.index("static int plain(") < result.index("this_cpu_inc(rbl_1_2)")


def test_a_parameter_is_given_in_every_call():
    result = edited(Edit("parameter"), 3, b"count").decode()
    assert result.count(", int rbl_1_2)") == 2  # its declaration and its definition
    assert sum(f"count(item, {limit}, " in result for limit in ("limit", "3")) == 2


def test_edits_that_run_something_do_not_go_where_it_depends_on_the_function():
    source = Source(TEXT)
    lock = next(operator for operator in KINDS["lock"] if isinstance(operator, Statement) and operator.calm)
    with pytest.raises(NotHere):
        make(Draft("kernel/locking/spinlock.c", source.functions[0], random.Random(1), "rbl_1_2"), lock)


def test_the_patch_of_an_edit_has_its_file():
    patch = patch_of("fs/a.c", TEXT, edited(Edit("early_return"), 1)).decode()
    assert patch.startswith("--- a/fs/a.c\n+++ b/fs/a.c\n@@ ")


def test_entries_with_patches_of_their_own(tmp_path):
    row = {"cve": ["MUT-1-001"], "patch": "m/a.patch", "hunks": {"fs/a.c": []}, "kinds": ["lock"]}
    source = {"source_package": "linux-source-6.1", "from": "1", "to": "seed 1", "kernel": "6.1"}
    path = tmp_path / "mutations.json"
    path.write_text(entries.json.dumps({"source": source, "random": True, "entries": [row]}))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.patch").write_bytes(b"patch")
    manifest = entries.read_manifest(path)
    assert manifest.random and manifest.entries[0].kinds == ("lock",)
    assert manifest.patches(Cache(tmp_path))(manifest.entries[0]) == b"patch"


def row_of(verdict, code="", stays=False, kinds=("lock",)):
    return {"verdict": verdict, "code": code, "kinds": list(kinds), "trial": {"stays_loaded": stays}}


def test_outcomes_are_counted_by_kind():
    rows = [
        row_of(verdicts.AUTOMATIC),
        row_of(verdicts.AUTOMATIC, stays=True, kinds=("lock", "key")),
        row_of(verdicts.CUSTOM, "variable_changed"),
        row_of(verdicts.FAILED, "machine_lost", kinds=("key",)),
        row_of(verdicts.NO_SOURCE, "does_not_compile"),
    ]
    head, key, lock, together = verdicts.by_kind(rows).splitlines()
    assert head.split("  ")[-5:] == [
        "automatic",
        "FAILED: machine_lost",
        "does_not_compile",
        "refused: variable_changed",
        "stays loaded",
    ]
    assert key.split() == ["key", "1", "1"] and lock.split() == ["lock", "1", "1", "1", "1"]
    assert together.split() == ["together", "1", "1", "1", "1", "2"]
    assert verdicts.by_kind([{**row_of(verdicts.AUTOMATIC), "kinds": []}]) == ""


def test_what_does_not_compile_is_no_failure_if_it_was_drawn():
    build = {"error": {"code": "does_not_compile", "sentence": "a.c:3: error", "details": {}}}
    found = verdicts.of_build(build), verdicts.of_build(build, random=True)
    assert [row and row["verdict"] for row in found] == [verdicts.FAILED, verdicts.NO_SOURCE]
