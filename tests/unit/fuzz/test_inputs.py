# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short part of fuzzing: kept inputs, and the same few changes of sound ones in each run."""

from __future__ import annotations

import signal
import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.fuzz import inputs, native
from ansible_collections.rebootless.splice.tests.fuzz.mutations import mutations
from ansible_collections.rebootless.splice.tests.fuzz.reader import SECONDS, is_accepted
from ansible_collections.rebootless.splice.tests.fuzz.seeds import shared_name_seed

CHANGES = 60  # of each reader's inputs


@pytest.fixture(autouse=True)
def in_time():
    """An input that is worked on for too long, by the processor's clock, is a fault."""

    def too_long(number, frame):
        raise AssertionError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("name", inputs.READERS)
def test_sound_inputs_are_read(name):
    for _title, data in inputs.sound(name):
        inputs.READERS[name].read(data)


@pytest.mark.parametrize("name", inputs.READERS)
def test_kept_and_changed_inputs_are_read_or_refused(name):
    reader = inputs.READERS[name]
    kept = [path.read_bytes() for path in inputs.kept(name)]
    for data in kept:
        is_accepted(reader, data)
    sound = [data for _title, data in inputs.sound(name)]
    for data in mutations(sound or kept, CHANGES, reader.longest, name):
        is_accepted(reader, data)


def test_a_name_that_thousands_of_sections_share_is_not_copied_for_each():
    assert not is_accepted(inputs.READERS["modinfo"], shared_name_seed())


def test_a_fault_is_none_of_the_refusals():
    def fails(data):
        raise KeyError(data)

    def refuses(data):
        raise RebootlessError("some_code", "It is so.")

    reader = inputs.READERS["words"]
    assert is_accepted(reader._replace(read=lambda data: None), b"")
    assert not is_accepted(reader._replace(read=refuses), b"")
    with pytest.raises(KeyError):
        is_accepted(reader._replace(read=fails), b"")


@pytest.mark.parametrize("name", native.PARSERS)
def test_parsers_of_the_helper_module(name, tmp_path):
    """Its own source files, under the sanitizers: kept inputs and changed ones end well, and sound ones are taken."""
    binary = native.build(name, tmp_path, "gcc", native.SHIM / "replay.c")
    sound = inputs.sound(name)
    changed = mutations([data for _title, data in sound], CHANGES, native.PARSERS[name].longest, name)
    files = list(inputs.kept(name))
    for title, data in [*sound, *((str(number), data) for number, data in enumerate(changed))]:
        (tmp_path / f"input-{title}").write_bytes(data)
        files.append(tmp_path / f"input-{title}")
    done = subprocess.run([binary, *files], capture_output=True, text=True, timeout=10 * SECONDS, check=False)
    assert not done.returncode, done.stderr
    answers = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert set(answers) == set(map(str, files))
    refused = [title for title, _data in sound if answers[str(tmp_path / f"input-{title}")] != "accepted"]
    assert not refused


def test_what_the_fuzzers_do_not_know_of_a_kernel_does_not_compile(tmp_path):
    """A file of the helper module that begins to use something else would be fuzzed no longer: that has to be told."""
    source = tmp_path / "control.c"
    source.write_text((native.KMOD / "control.c").read_text().replace("strim(line)", "strstrip(line)"))
    parser = native.PARSERS["control"]._replace(sources=(str(source),))
    with pytest.raises(subprocess.CalledProcessError):
        native.compile_parser("control", parser, tmp_path, "gcc", native.SHIM / "replay.c", quiet=True)
