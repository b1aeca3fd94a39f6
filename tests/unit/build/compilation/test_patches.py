# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and applying patches."""

from __future__ import annotations

import bz2
import difflib
import gzip
import lzma
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.hunk_rows import doubtful_places
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import (
    apply_patches,
    parse_patch,
    read_patch,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

OLD = [f"line {number}" for number in range(1, 31)]
PATH = "net/unix/af_unix.c"


@pytest.fixture
def source(tmp_path):
    file = tmp_path / PATH
    file.parent.mkdir(parents=True)
    file.write_text("".join(f"{line}\n" for line in OLD))
    return tmp_path


def diff(old, new, path=PATH, context=3):
    lines = difflib.unified_diff(old, new, f"a/{path}", f"b/{path}", lineterm="", n=context)
    return "".join(f"{line}\n" for line in lines).encode()


def edit(lines, index, *new, delete=0):
    return [*lines[:index], *new, *lines[index + delete :]]


def apply(source, *contents):
    patches = [parse_patch(f"{number}.patch", content) for number, content in enumerate(contents, 1)]
    return apply_patches(patches, source)


def refusal(source, *contents):
    with pytest.raises(RebootlessError) as caught:
        apply(source, *contents)
    return caught.value


def plain(patched):
    return patched.text(numbered=False).decode().splitlines()


def test_a_hunk_changes_a_copy_only(source):
    new = edit(OLD, 10, "new a", "new b", delete=1)
    [patched] = apply(source, diff(OLD, new))
    assert plain(patched) == new
    assert (source / PATH).read_text().splitlines() == OLD
    assert [line.origin for line in patched.lines[8:14]] == [9, 10, None, None, 12, 13]
    [placed] = patched.placed
    assert (placed.hunk, placed.first, placed.count, placed.offset) == (1, 8, 8, 0)
    assert patched.hunk_at(11) is placed
    assert patched.hunk_at(20) is None


def test_later_patches_see_what_earlier_ones_left(source):
    first = edit(OLD, 2, "early")
    second = edit(first, 20, "late", delete=2)
    [patched] = apply(source, diff(OLD, first), diff(first, second))
    assert plain(patched) == second
    assert [(p.patch, p.first) for p in patched.placed] == [("1.patch", 1), ("2.patch", 18)]


def test_an_earlier_place_moves_with_lines_inserted_before_it(source):
    late = edit(OLD, 20, "late")
    both = edit(late, 2, "early a", "early b")
    [patched] = apply(source, diff(OLD, late), diff(late, both))
    assert plain(patched) == both
    assert patched.hunk_at(both.index("late") + 1).patch == "1.patch"
    assert patched.hunk_at(both.index("early b") + 1).patch == "2.patch"


def test_a_hunk_that_moved_is_found_where_it_fits(source):
    moved = edit(OLD, 0, "x", "y")
    content = diff(moved, edit(moved, 15, "new"))
    [patched] = apply(source, content)
    assert plain(patched) == edit(OLD, 13, "new")
    assert patched.placed[0].offset == -2


def test_a_hunk_that_fits_at_two_places_is_refused(tmp_path):
    block = ["begin", "a", "b", "c", "d", "end"]
    old = [*block, "between", *block]
    (tmp_path / "f.c").write_text("".join(f"{line}\n" for line in old))
    content = diff(["head", *block], ["head", *edit(block, 3, "new")], "f.c", context=2)
    error = refusal(tmp_path, content.replace(b"-4,4", b"-5,4"))
    assert error.code == "patch_does_not_apply"
    assert error.details["lines"] == [2, 9]


def test_context_is_never_guessed(source):
    other = edit(OLD, 12, "line thirteen", delete=1)
    error = refusal(source, diff(other, edit(other, 14, "new")))
    assert error.code == "patch_does_not_apply"
    assert error.details["hunk"] == 1
    assert error.details["line"] == 13
    assert (error.details["expected"], error.details["found"]) == ("line thirteen", "line 13")
    assert "line 13 should be 'line thirteen' and is 'line 13'" in error.sentence


def test_the_end_of_the_file_is_named(source):
    longer = [*OLD, "line 31", "line 32"]
    error = refusal(source, diff(longer, edit(longer, 31, "new")))
    assert "the end of the file" in error.sentence


def test_a_file_that_has_all_changes_is_told_from_one_that_has_some(source):
    new = edit(edit(OLD, 25, "second"), 5, "first")
    (source / PATH).write_text("".join(f"{line}\n" for line in new))
    [patched] = apply(source, diff(OLD, new))
    assert patched.already_applied
    assert plain(patched) == new
    (source / PATH).write_text("".join(f"{line}\n" for line in edit(OLD, 5, "first")))
    error = refusal(source, diff(OLD, new))
    assert error.details["already_applied"] is True
    assert "already" in error.sentence


@pytest.mark.parametrize("new", [edit(OLD, 7, "new"), edit(OLD, 7, "other", delete=1), edit(OLD, 7, delete=1)])
def test_hunks_without_context_are_refused(source, new):
    """A number alone does not say where they belong: the file may have changed above."""
    error = refusal(source, diff(OLD, new, context=0))
    assert (error.code, error.details["hunk"]) == ("bad_patch", 1)
    assert "no context" in error.sentence


def test_any_bytes_survive(source):
    (source / PATH).write_bytes(b"a\nb \xff\xfe \x0c \x85\nc\n")
    content = (
        b"--- a/net/unix/af_unix.c\n+++ b/net/unix/af_unix.c\n@@ -1,3 +1,3 @@\n a\n-b \xff\xfe \x0c \x85\n+\xe9\n c\n"
    )
    [patched] = apply(source, content)
    assert patched.text(numbered=False) == b"a\n\xe9\nc\n"


def test_plain_diffs_with_other_directories_and_times(source):
    content = diff(OLD, edit(OLD, 3, "new")).decode()
    content = content.replace(f"a/{PATH}", f"linux-6.1.176/{PATH}\t2026-07-02 13:50:00.000000000 +0000")
    content = content.replace(f"b/{PATH}", f"linux-6.1.187/{PATH}\t2026-08-02 13:50:00.000000000 +0000")
    [patched] = apply(source, b"diff -Nup a b\n" + content.encode())
    assert patched.path == PATH


def test_mail_around_a_patch_does_not_matter(source):
    mail = b"From: a\nSubject: b\n\nText\n---\n f | 1 +\n\n" + diff(OLD, edit(OLD, 3, "new")) + b"-- \n2.39.2\n\n"
    [patched] = apply(source, mail)
    assert plain(patched) == edit(OLD, 3, "new")


GIT_RENAME = b"diff --git a/x/a.c b/x/b.c\nsimilarity index 100%\nrename from x/a.c\nrename to x/b.c\n"
BINARY = b"diff --git a/x/a.bin b/x/a.bin\nindex 1..2 100644\nBinary files a/x/a.bin and b/x/a.bin differ\n"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "bad_patch"),
        (b"just text\n", "bad_patch"),
        (b"--- a/f.c\n+++ b/f.c\n@@ -1,3 +1,4 @@\n a\n+b\n", "bad_patch"),
        (b"--- f.c\n+++ f.c\n@@ -1 +1 @@\n-a\n+b\n", "bad_patch"),
        (b"--- a/../f.c\n+++ b/../f.c\n@@ -1 +1 @@\n-a\n+b\n", "bad_patch"),
        (b"--- /etc/f.c\n+++ /etc/f.c\n@@ -1 +1 @@\n-a\n+b\n", "bad_patch"),
        (GIT_RENAME + b"--- a/x/a.c\n+++ b/x/b.c\n@@ -1 +1 @@\n-a\n+b\n", "rename_not_supported"),
        (BINARY, "binary_patch_not_supported"),
    ],
)
def test_what_is_no_patch_for_us(content, code):
    with pytest.raises(RebootlessError) as caught:
        parse_patch("x.patch", content)
    assert caught.value.code == code


def test_new_deleted_and_unknown_files_are_named(source):
    new = b"--- /dev/null\n+++ b/net/unix/new.c\n@@ -0,0 +1 @@\n+int x;\n"
    assert refusal(source, new).code == "new_file_not_supported"
    gone = diff(OLD, []).replace(f"b/{PATH}".encode(), b"/dev/null")
    assert refusal(source, gone).code == "deleted_file_not_supported"
    assert "does not have" in refusal(source, diff(OLD, OLD[1:], "net/other.c")).sentence


def test_a_patch_that_cannot_be_read(tmp_path):
    with pytest.raises(RebootlessError) as caught:
        read_patch(tmp_path / "none.patch")
    assert caught.value.code == "patch_not_readable"


@settings(max_examples=60, deadline=None)
@given(old=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40), data=st.data(), context=st.integers(1, 3))
def test_what_diff_makes_is_applied_as_patch_does(tmp_path_factory, old, data, context):
    new = list(old)
    for _unused in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(new)))
        new[at : at + data.draw(st.integers(0, 2))] = data.draw(st.lists(st.sampled_from("xyz"), max_size=2))
    content = diff(old, new, "f.c", context)
    if not new or not content:
        return
    top = tmp_path_factory.mktemp("property")
    (top / "f.c").write_text("".join(f"{line}\n" for line in old))
    [patched] = apply(top, content)
    assert plain(patched) == new
    shutil.rmtree(top)


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch(1) is not installed")
def test_same_result_as_patch(source):
    new = edit(edit(OLD, 25, "b", delete=2), 3, "a")
    content = diff(OLD, new)
    [patched] = apply(source, content)
    subprocess.run(["patch", "-s", "-p1", "-d", source], input=content, check=True)
    assert (source / PATH).read_bytes() == patched.text(numbered=False)


# ---- what is no plain unified diff

GOOD = diff(OLD, edit(OLD, 10, "new"))
MORE = {
    "CR and LF": GOOD.replace(b"\n", b"\r\n"),
    "gzip": gzip.compress(GOOD),
    "xz": lzma.compress(GOOD),
    "bzip2": bz2.compress(GOOD),
    "UTF-16": GOOD.decode().encode("utf-16"),
    "combined": b"diff --cc net/a.c\nindex 1,2..3\n--- a/net/a.c\n+++ b/net/a.c\n@@@ -1,1 -1,1 +1,2 @@@\n  a\n++b\n",
    "more lines": GOOD + b"+one more\n",
    "more lines than": GOOD.replace(b" line 13\n", b" line 13\n line 14\n"),
}


@pytest.mark.parametrize("words", MORE)
def test_what_is_no_plain_diff_is_called_what_it_is(words):
    with pytest.raises(RebootlessError) as refused:
        parse_patch("fix.patch", MORE[words])
    assert refused.value.code == "bad_patch"
    assert words in refused.value.sentence
    assert refused.value.next_step


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("GIT binary patch\nliteral 3\nKcmZ\n", "binary_patch_not_supported"),
        ("rename from net/a.c\nrename to net/b.c\n", "rename_not_supported"),
        ("copy from net/a.c\ncopy to net/b.c\n", "rename_not_supported"),
    ],
)
def test_parts_without_lines_are_not_passed_over(header, code):
    content = f"diff --git a/net/a.c b/net/b.c\nindex 1..2\n{header}\n".encode() + GOOD
    with pytest.raises(RebootlessError) as refused:
        parse_patch("fix.patch", content)
    assert refused.value.code == code
    assert refused.value.next_step


def test_two_binary_files_that_differ():
    with pytest.raises(RebootlessError) as refused:
        parse_patch("fix.patch", b"Binary files a/x.png and b/x.png differ\n" + GOOD)
    assert refused.value.code == "binary_patch_not_supported"


@pytest.mark.parametrize("behind", ["-- \n2.39.5\n", "\n", "--\n2.39\n", "From 0123 Mon Sep 17 00:00:00 2001\n"])
def test_mail_around_a_diff_is_no_part_of_it(source, behind):
    before = "From: A <a@b.c>\nSubject: [PATCH] rename from here\n\nText.\n---\n af_unix.c | 1 +\n\n"
    [patched] = apply(source, before.encode() + GOOD + behind.encode())
    assert plain(patched) == edit(OLD, 10, "new")


def test_modes_may_change(source):
    [patched] = apply(
        source, b"diff --git a/net/unix/af_unix.c b/net/unix/af_unix.c\nold mode 100644\nnew mode 100755\n" + GOOD
    )
    assert plain(patched) == edit(OLD, 10, "new")


@pytest.mark.parametrize(("first", "second"), [("b", "a"), ("new", "old")])
def test_a_reversed_diff_is_not_taken_for_a_fix_that_is_there(source, first, second):
    content = diff(edit(OLD, 10, "new"), OLD).decode()
    content = content.replace("--- a/", f"--- {first}/").replace("+++ b/", f"+++ {second}/")
    assert refusal(source, content.encode()).code == "reversed_patch"


def test_a_diff_from_the_newer_to_the_older_is_reversed(source):
    content = diff(edit(OLD, 10, "new"), OLD).decode()
    for side, time in (("a", "2026-08-02"), ("b", "2026-07-02")):
        content = content.replace(f" {side}/{PATH}", f" {side}/{PATH}\t{time} 13:50:00.000000000 +0000")
    assert refusal(source, content.encode()).code == "reversed_patch"


def test_white_space_that_mail_has_changed_is_called_that(source):
    (source / PATH).write_text("".join(f"\t{line}\n" for line in OLD))
    error = refusal(source, GOOD)
    assert (error.code, "white space" in error.sentence) == ("patch_does_not_apply", True)


# ---- parts in another form, between and around unified diffs

OTHER_FORMS = {
    "context diff": "*** a/f.c\n--- b/f.c\n***************\n*** 285,286 ****\n! x\n--- 285,286 ----\n! y\n",
    "plain diff": "diff f.c.orig f.c\n285c285\n< x\n---\n> y\n",
    "ed script": "diff -e a b\n285c\nfoo\n.\n",
    "only one of two directories": "Only in new/net: b.c\n",
    "diff -q": "Files old/f.c and new/f.c differ\n",
    "without the lines": "diff --git a/f.c b/f.c\nindex 1234..5678 100644\n\n",
    "becomes something else": "File old/f is a directory while file new/f is a regular file\n",
    "submodule": "Submodule x 1234..5678:\n",
}


@pytest.mark.parametrize("words", OTHER_FORMS)
@pytest.mark.parametrize("place", ["before", "behind"])
def test_parts_in_another_form_are_not_passed_over(words, place):
    other = OTHER_FORMS[words].encode()
    with pytest.raises(RebootlessError) as refused:
        parse_patch("fix.patch", other + GOOD if place == "before" else GOOD + other)
    assert (refused.value.code, words in refused.value.sentence) == ("bad_patch", True)


# ---- where a hunk belongs

BODY = ["{", "\tif (copy(&n))", "\t\treturn -EFAULT;", "\tspin_lock();", "\tres = 0;", "}", ""]
GUARD = ["\tif (n == MAX)", "\t\treturn -EINVAL;"]
FIRST, SECOND = "static int first(struct ctx *c)", "static int second(struct ctx *c)"
HUNK = " \tif (copy(&n))\n \t\treturn -EFAULT;\n+\tif (n == MAX)\n+\t\treturn -EINVAL;\n \tspin_lock();\n \tres = 0;\n"


def copies(source, *bodies):
    """A file whose functions are copies of one another."""
    lines = [line for name, body in zip((FIRST, SECOND), bodies, strict=True) for line in (name, *body)]
    (source / PATH).write_text("".join(f"{line}\n" for line in lines))


def guard(line, heading):
    return f"--- a/{PATH}\n+++ b/{PATH}\n@@ -{line},4 +{line},6 @@{heading}\n{HUNK}".encode()


WITH, OTHER = [*BODY[:3], *GUARD, *BODY[3:]], ["{", "\tother();", "}", ""]


def test_the_same_lines_in_another_function_are_not_the_change(source):
    copies(source, [*OTHER[:1], *["\tx();"] * 3, *OTHER[1:]], WITH)
    error = refusal(source, guard(3, f" {FIRST}"))
    assert (error.code, error.details["already_applied"]) == ("patch_does_not_apply", False)
    assert "stands elsewhere, at line 11" in error.sentence


def test_lines_far_away_are_not_the_change_if_no_heading_says_so(source):
    copies(source, ["{", *["\tx();"] * 200, "}", ""], WITH)
    assert refusal(source, guard(3, "")).details["already_applied"] is False


@pytest.mark.parametrize("heading", [f" {SECOND}", " int second(void)"])
def test_the_change_is_there_wherever_its_function_is(source, heading):
    copies(source, ["{", *["\tx();"] * 200, "}", ""], WITH)
    [patched] = apply(source, guard(3, heading))
    assert patched.already_applied


def test_a_hunk_does_not_land_in_a_copy_of_its_function(source):
    copies(source, WITH, BODY)
    error = refusal(source, guard(3, f" {FIRST}"))
    assert error.code == "patch_does_not_apply"
    assert "in second, and the hunk's heading names first" in error.sentence


@pytest.mark.parametrize(
    ("heading", "lines", "doubt"),
    [
        (" int gone(void)", 3, "heading names gone"),
        ("", 200, "lines from where its header says"),
        ("", 3, ""),
        (f" {SECOND}", 200, ""),
    ],
)
def test_a_doubtful_place_is_told(source, heading, lines, doubt):
    copies(source, ["{", *["\tx();"] * lines, "}", ""], BODY)
    [patched] = apply(source, guard(4, heading))
    [placed] = patched.placed
    assert doubt in placed.doubt and bool(doubt) == bool(placed.doubt)
    assert len(doubtful_places([patched])) == bool(doubt)


def test_a_function_that_an_earlier_hunk_renames_is_still_the_one_that_is_meant(source):
    copies(source, ["{", "\ta();", "\tb();", "\tc();", *BODY[1:]], OTHER)
    old = (source / PATH).read_text().splitlines()
    new = edit(edit(old, 6, *GUARD), 0, "static int __first(struct ctx *c)", delete=1)
    new = [*new, "static int first(struct ctx *c)", "{", "\treturn __first(c);", "}"]
    content = diff(old, new, context=1).decode().replace(" @@\n \t\treturn", f" @@ {FIRST}\n \t\treturn")
    assert FIRST in content
    [patched] = apply(source, content.encode())
    assert plain(patched) == new


def test_a_patch_of_a_series_that_is_there_already_is_told(source):
    first = edit(OLD, 2, "early")
    second = edit(first, 20, "late")
    (source / PATH).write_text("".join(f"{line}\n" for line in first))
    [patched] = apply(source, diff(OLD, first), diff(first, second))
    assert (patched.there_before, patched.already_applied) == (("1.patch",), False)
