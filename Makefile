# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Sets up what the collection needs, and runs it: `make help`.  Everything can be repeated; a second run reuses the first one's.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

CACHE ?= $(HOME)/.cache/rebootless
# The distribution's interpreter is the one whose venv package bindep.txt names.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3.11) python3.11)
LAB ?= default
HOST ?= lab1
# What match-check matches, and what it must refuse in its place.
RELEASE ?= 6.1.0-50-cloud-amd64
NEXT ?= 6.1.0-53-cloud-amd64
# More arguments for ansible-playbook or pytest.
ARGS ?=

VENV := .venv
TREE := build/tree
INSTALLED := build/installed
COLLECTION := $(INSTALLED)/ansible_collections/rebootless/splice/MANIFEST.json
SOURCES := $(shell find galaxy.yml README.md COPYING LICENSES changelogs docs kmod meta playbooks plugins roles -type f \
	-not -name '*.pyc' -not -name '*.o' -not -name '*.ko' -not -name '.*' 2>/dev/null)
# Tools of tests/ are modules of the collection: $(RUN).corpus.run is tests/corpus/run.py.
RUN = PYTHONPATH=$(TREE) ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/$(TREE) $(VENV)/bin/python -m ansible_collections.rebootless.splice.tests
# $(call IN_LAB,name) COMMAND runs it while no other run is in that lab.
IN_LAB = PYTHONPATH=$(TREE) $(VENV)/bin/python -m ansible_collections.rebootless.splice.tests.support.lab_lock $(1)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
DEBS := $(shell sed -n 's/^\([a-z0-9][a-z0-9.+-]*\) .*platform:dpkg.*/\1/p' bindep.txt)

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PIP_CACHE_DIR := $(CACHE)/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/$(INSTALLED)
export ANSIBLE_LOCALHOST_WARNING := False
export ANSIBLE_INVENTORY_UNPARSED_WARNING := False
export ANSIBLE_CALLBACK_RESULT_FORMAT := yaml
export REBOOTLESS_CACHE := $(CACHE)
# What Python compiles is kept, and not among the sources.
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache
unexport PYTHONDONTWRITEBYTECODE
# Its own place is named after the last part of the checkout's path, so two checkouts would share it.
export MOLECULE_EPHEMERAL_DIRECTORY := $(CURDIR)/build/molecule
PLAYBOOK = ansible-playbook -e lab_cache=$(CACHE) -e lab_name=$(LAB)

.PHONY: help
help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {gsub(/\$$\(CACHE\)/, "$(CACHE)", $$2); printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- set-up ----------------------------------------------------------------------------------------------------------

.PHONY: deps
deps:  ## install the Debian packages of bindep.txt that are missing
	@missing=$$(for deb in $(DEBS); do \
	    dpkg-query -W -f='$${db:Status-Status}\n' $$deb 2>/dev/null | grep -qx installed || echo $$deb; done); \
	if [ -n "$$missing" ]; then \
	    mkdir -p $(CACHE)/apt/partial; \
	    $(SUDO) apt-get -q update; \
	    $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
	        -o Dir::Cache::archives=$(CACHE)/apt -o APT::Sandbox::User=root $$missing </dev/null; \
	fi

.PHONY: venv
venv: $(VENV)/dev.stamp  ## make the virtual environment .venv, with all pinned requirements

$(VENV)/runtime.stamp: requirements.txt | deps
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q -r requirements.txt
	touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/runtime.stamp
	$(VENV)/bin/pip install -q -r requirements.txt -r requirements-dev.txt
	touch $@

.PHONY: pins
pins: $(VENV)/dev.stamp  ## pin requirements*.in anew
	$(VENV)/bin/pip install -q pip-tools
	for name in requirements requirements-dev; do \
	    $(VENV)/bin/pip-compile -q --upgrade --strip-extras --annotation-style=line --no-header --no-emit-index-url \
	        --no-emit-find-links --no-emit-trusted-host -o build/$$name.txt $$name.in; \
	    { sed -n '/^# /!q;/Copyright\|SPDX/p' $$name.in; echo; cat build/$$name.txt; } > $$name.txt; \
	done

.PHONY: dist
dist: $(VENV)/runtime.stamp  ## build the collection's archive in build/dist
	rm -rf build/dist
	ansible-galaxy collection build --output-path build/dist .

# What is installed is what the archive holds, so a file that the archive lacks is found here and not by a user.
$(COLLECTION): $(SOURCES) | $(VENV)/runtime.stamp
	$(MAKE) --no-print-directory dist
	ansible-galaxy collection install --offline --force -p $(INSTALLED) build/dist/*.tar.gz
	touch $@

$(TREE): 
	mkdir -p $(TREE)/ansible_collections/rebootless
	ln -sfn $(CURDIR) $(TREE)/ansible_collections/rebootless/splice

# ---- the lab and the demo --------------------------------------------------------------------------------------------

.PHONY: lab-up
lab-up: $(COLLECTION)  ## boot the lab (LAB=name, ARGS="-e lab_size=5")
	$(PLAYBOOK) rebootless.splice.lab_up $(ARGS)

.PHONY: lab-down
lab-down: $(COLLECTION)  ## remove the lab
	$(PLAYBOOK) rebootless.splice.lab_down $(ARGS)

.PHONY: lab-ssh
lab-ssh:  ## log in to a machine of the lab (HOST=lab1)
	@ssh -F $(CACHE)/lab/$(LAB)/ssh_config $(HOST) $(ARGS)

.PHONY: demo
demo: LAB = demo
demo: $(COLLECTION) | $(TREE)  ## fix a real CVE in running stock kernels, and take the fix out again
	$(call IN_LAB,$(LAB)) env -u PYTHONPATH $(PLAYBOOK) rebootless.splice.demo $(ARGS)
	@cat $(CACHE)/demo/table.txt

# ---- tests -----------------------------------------------------------------------------------------------------------

.PHONY: test
test: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## all tests, and the ten slowest of them
	rm -rf $(DURATIONS)
	MAKE="$(MAKE)" python tests/parts.py test-unit 'test-fleet "FAULTS=-m quick" + test-gates' test-integration
	python tests/slowest.py $(DURATIONS)

# Where each run of pytest leaves how long its tests took.
DURATIONS := build/durations

# One worker more than processors: some tests wait for real processes and their deadlines.
UNIT_WORKERS := $(shell echo $$(($$(nproc) + 1)))

.PHONY: test-unit
test-unit: $(VENV)/dev.stamp | $(TREE)  ## unit tests, with objects that gcc makes
	PYTHONPATH=$(TREE) pytest -q -n $(UNIT_WORKERS) --junitxml=$(DURATIONS)/unit.xml tests/unit $(ARGS)

.PHONY: test-gates
test-gates: $(VENV)/dev.stamp  ## sanity, lint, types, documentation, licences
	tests/gates/run

.PHONY: test-integration
test-integration: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## tests in stock kernels
	PYTHONPATH=$(TREE) ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/$(TREE) \
	    pytest -v -n 2 --dist loadgroup --no-loadscope-reorder --junitxml=$(DURATIONS)/integration.xml tests/integration $(ARGS)

# A kernel of the distribution's source that checks itself (tests/kernels), and the tests of kmod on it.
.PHONY: debug-kernel
debug-kernel: $(VENV)/dev.stamp | $(TREE)  ## build a kernel that complains (KASAN, lockdep, ...), once: half an hour
	$(RUN).kernels.build debug $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

# Where the helper module does its work; REBOOTLESS_NMIS says how many NMIs are injected.
KMOD_TESTS := $(patsubst %,tests/integration/test_%.py,debug_kernel switch coming parts update_module isolated_cpus later_kernels)

.PHONY: test-debug-kernel
test-debug-kernel: debug-kernel $(COLLECTION)  ## the tests of kmod on that kernel, each of which is to leave it without complaint: hours
	PYTHONPATH=$(TREE) ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/$(TREE) REBOOTLESS_KERNEL=debug \
	    pytest -v --junitxml=$(DURATIONS)/debug-kernel.xml $(KMOD_TESTS) $(ARGS)

# Kernels to try, of the series that are known.
RELEASES ?= 6.12.117+deb12-cloud-amd64

.PHONY: test-releases
test-releases: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## the life of an update on other stock kernels (RELEASES="...")
	PYTHONPATH=$(TREE) ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/$(TREE) REBOOTLESS_RELEASES="$(RELEASES)" \
	    pytest -v tests/integration/test_later_kernels.py $(ARGS)

# Kernels on which every neighbour of an update is tried.
NEIGHBOURS_RELEASES ?= $(RELEASE)

.PHONY: test-coexistence
test-coexistence: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## every cell of docs/coexistence.md, on a stock kernel (NEIGHBOURS_RELEASES="..." ARGS="-k klp")
	PYTHONPATH=$(TREE) ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/$(TREE) REBOOTLESS_COEXISTENCE="$(NEIGHBOURS_RELEASES)" \
	    pytest -v tests/integration/test_coexistence.py $(ARGS)

.PHONY: coexistence
coexistence: $(VENV)/dev.stamp | $(TREE)  ## write docs/coexistence.md from the table of the tests
	$(RUN).coexistence.document docs/coexistence.md

# Which faults of tests/fleet; all without it.
FAULTS ?=

# Molecule begins without what it remembers: that machines were made, which may be gone by now.  The faults take its machines.
.PHONY: test-fleet
test-fleet: $(VENV)/dev.stamp | $(TREE)  ## a rollout over six stock hosts (Molecule), and all that can go wrong (FAULTS="-k panic")
	$(call IN_LAB,$(or $(REBOOTLESS_LAB),fleet)) $(MAKE) --no-print-directory test-fleet-in-lab

.PHONY: test-fleet-in-lab
test-fleet-in-lab:
	rm -rf $(MOLECULE_EPHEMERAL_DIRECTORY)
	export PYTHONPATH=$(TREE) ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/$(TREE); molecule test -s fleet --destroy never || \
	    { test -n "$${REBOOTLESS_KEEP_LAB:-}" || molecule destroy -s fleet; false; }
	PYTHONPATH=$(TREE) ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/$(TREE) \
	    pytest -v -n 3 --dist worksteal --junitxml=$(DURATIONS)/fleet.xml tests/fleet $(FAULTS) $(ARGS)

# Seconds for each fuzzer, and which of them; all without it.  Their tools are large, and needed for nothing else.
FUZZ_SECONDS ?= 600
FUZZ ?=
FUZZ_DEBS := clang libclang-rt-14-dev
FUZZ_SITE := build/fuzz/site

.PHONY: fuzz-deps
fuzz-deps: $(FUZZ_SITE)/stamp  ## install what fuzzing needs: clang with libFuzzer, and atheris in build/fuzz
	@$(MAKE) --no-print-directory deps DEBS="$(FUZZ_DEBS)"

$(FUZZ_SITE)/stamp: tests/fuzz/requirements.txt | $(VENV)/dev.stamp
	$(VENV)/bin/pip install -q --upgrade --target $(FUZZ_SITE) -r $<
	touch $@

.PHONY: fuzz
fuzz: $(VENV)/dev.stamp fuzz-deps | $(TREE)  ## fuzz every parser, long: hours (FUZZ_SECONDS=600 FUZZ="update patch")
	PYTHONPATH=$(FUZZ_SITE):$(TREE) $(VENV)/bin/python -m ansible_collections.rebootless.splice.tests.fuzz.run \
	    --seconds $(FUZZ_SECONDS) $(FUZZ) $(ARGS)

# A manifest of fixes (tests/corpus/manifests); CVEs to try, all if empty; builders; machines; 1 takes results that still hold.
CORPUS ?= tests/corpus/manifests/manifest-6.1.176.json
ONLY ?=
JOBS ?=
MACHINES ?=
REUSE ?=

.PHONY: corpus
corpus: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## make hundreds of real fixes live (CORPUS=manifest ONLY=cve JOBS=n REUSE=1)
	$(RUN).corpus.run $(CORPUS) \
	    --cache $(CACHE) --lab $(patsubst default,corpus,$(LAB)) --only "$(ONLY)" $(if $(JOBS),--jobs $(JOBS)) $(if $(MACHINES),--machines $(MACHINES)) $(if $(REUSE),--reuse) $(ARGS)

# What changed up to this version of a source package is tried on the kernel RELEASE.
PACKAGE ?= linux-source-6.1
TO ?= 6.1.187-1

# Random edits of random functions, so many of them; SEED (below) repeats a draw.
MUTATE ?=

.PHONY: changes
changes: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## for corpus, at random: build/changes.json, files that changed (RELEASE= PACKAGE= TO= ARGS="--size 60"), or build/mutations.json, edits (RELEASE= MUTATE=300 SEED=7)
	$(RUN).corpus.$(if $(MUTATE),mutations.draw --size $(MUTATE),changes --package $(PACKAGE) --to '$(TO)') \
	    $(if $(REBOOTLESS_KERNEL),,--release $(RELEASE)) $(if $(SEED),--seed $(SEED)) $(ARGS) build/$(if $(MUTATE),mutations,changes).json

.PHONY: refusals
refusals: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## build patches that mislead, and compare what is said of each with what is to be said (ONLY="wrapper vmalloc" JOBS=n): an hour
	$(RUN).corpus.refusals.run \
	    --release $(RELEASE) --only "$(ONLY)" $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

.PHONY: match-check
match-check: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## match every built-in unit that the corpus touches, and 200 more; refuse seeded faults (RELEASE=..., NEXT=...)
	$(RUN).corpus.match_check \
	    --release $(RELEASE) --next "$(NEXT)" --corpus --random 200 --flips 5 $(ARGS)

# Seed of units and machines drawn by lot; another one each time if it is empty, and printed.
SEED ?=
CPUS_RELEASES ?= $(RELEASE) 6.12.107+deb12-cloud-amd64

.PHONY: match-cpus
match-cpus: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## match what kernels make of themselves on machines that QEMU cannot be: ITS, SRSO, Xen (CPUS_RELEASES="..." SEED=1)
	$(RUN).corpus.match_cpus \
	    $(addprefix --release ,$(CPUS_RELEASES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: header-check
header-check: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## edit headers; ask each unit that the text of the sources leaves out whether it changes (RELEASE=...)
	$(RUN).corpus.header_check \
	    --release $(RELEASE) $(ARGS)

.PHONY: bench
bench: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## measure, and print a table
	$(call IN_LAB,bench) env $(RUN).bench
	$(call IN_LAB,bench) env $(RUN).bench.stop

# Numbers of threads; ARGS="--cpus 2" for machines with two processors only.
THREADS ?= 100 2000 10000 50000

.PHONY: bench-stop
bench-stop: $(VENV)/dev.stamp $(COLLECTION) | $(TREE)  ## how long a host stands still, by its number of threads (THREADS="100 2000")
	$(call IN_LAB,bench) env $(RUN).bench.stop $(THREADS) $(ARGS)

# Numbers of hosts; at least two of them, to see whether costs grow with them.
HOSTS ?= 200 1000

.PHONY: bench-fleet
bench-fleet: $(VENV)/dev.stamp | $(TREE)  ## what a rollout costs the controller, on simulated hosts (HOSTS="200 1000")
	$(RUN).bench.fleet $(HOSTS) $(ARGS)

.PHONY: bench-exposure
bench-exposure: $(VENV)/dev.stamp | $(TREE)  ## what the exposure of a fleet costs, on simulated hosts (HOSTS="200 1000")
	$(RUN).bench.fleet.exposure $(HOSTS) $(ARGS)

# A mirror of the CNA's records; without it 15,000 are made up.  The mapping is measured for the kernel of the tree of RELEASE.
RECORDS ?=

.PHONY: bench-feed
bench-feed: $(VENV)/dev.stamp | $(TREE)  ## what reading 15,000 records costs, and how many fixes are mapped to what ships them (RECORDS=mirror)
	$(RUN).bench.feed $(if $(RECORDS),--records $(RECORDS) --release $(RELEASE) --cache $(CACHE)) $(ARGS)

.PHONY: clean
clean:  ## remove what was built here; the cache ($(CACHE)) and running labs stay
	rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .ansible tests/output
