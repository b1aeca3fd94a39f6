# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sources of an update module, as jinja2 templates.

They are text in a Python file because module_utils travel zipped, where no data files come along.
"""

from __future__ import annotations

# The licences below are those of what is generated: code that comes from the kernel stays under the kernel's.
# REUSE-IgnoreStart

UPDATE_C = """\
// SPDX-License-Identifier: GPL-2.0-or-later
/* Update {{ name }} {{ version }}: what the helper module has to know.  Generated. */
#include <linux/module.h>
#include <linux/kernel.h>
#include "rebootless.h"

{% for handle in handles %}
extern char {{ handle }}[];
{% endfor %}
{% if needs_false_key %}

/* The key of static branches whose own keys are in loadable modules, as the kernel sees them; it is never switched. */
struct static_key rbl_false_key = STATIC_KEY_INIT_FALSE;
{% endif %}

static const u8 build_id[] = { {{ build_id | join(", ") }} };
{% for part in parts %}

/* ---- {{ part.name }} */

extern const char {{ part.program }}[];
{% if part.functions %}

static const struct rbl_function functions_{{ part.number }}[] = {
{% for row in part.functions %}
        {	/* {{ row.unit }} */
                .name = "{{ row.name }}",
{% if row.handle %}
                .replacement = {{ row.handle }},
                .replacement_size = {{ row.replacement_size }},
                .jump_offset = {{ row.jump_offset }},
{% endif %}
                .symbol = {{ row.symbol }},
                .size = {{ row.size }},
        },
{% endfor %}
};
{% endif %}
{% if part.data %}

static const struct rbl_datum data_{{ part.number }}[] = {
{% for row in part.data %}
        /* {{ row.unit }} */
        { "{{ row.name }}", {{ row.handle }}, {{ row.symbol }}, {{ row.size }} },
{% endfor %}
};
{% endif %}
{% if part.fixups %}

static const struct rbl_fixup fixups_{{ part.number }}[] = {
{% for fixup in part.fixups %}
        /* {{ fixup.name }} */
        { {{ fixup.handle }} + {{ fixup.offset }}, {{ fixup.type }}, {{ fixup.symbol }}, {{ fixup.addend }} },
{% endfor %}
};
{% endif %}
{% if part.hooks %}

static const struct rbl_hook hooks_{{ part.number }}[] = {
{% for row in part.hooks %}
        { {{ row.stage }}, 0, (int (*)(void)){{ row.handle }} },	/* {{ row.name }} */
{% endfor %}
};
{% endif %}
{% endfor %}

static const struct rbl_object objects[] = {
{% for part in parts %}
        {
                .name = "{{ part.name }}",
                .program = {{ part.program }},
                .program_size = {{ part.program_size }},
{% for table in ("functions", "data", "fixups", "hooks") if part[table] %}
                .{{ table }} = {{ table }}_{{ part.number }},
                .n_{{ table }} = ARRAY_SIZE({{ table }}_{{ part.number }}),
{% endfor %}
{% if part.jump_entries %}
                .jump_entries = (struct jump_entry *){{ part.jump_entries }},
                .n_jump_entries = {{ part.n_jump_entries }},
{% endif %}
{% if part.flags %}
                .flags = {{ part.flags | join(" | ") }},
{% endif %}
        },
{% endfor %}
};

struct rbl_update rebootless_update = {
        .abi = RBL_ABI,
        .n_objects = ARRAY_SIZE(objects),
        .name = "{{ name }}",
        .version = "{{ version }}",
        .digest = "{{ digest }}",
        .build_id = build_id,
        .build_id_size = sizeof(build_id),
        .objects = objects,
        .module = THIS_MODULE,
};

static int __init update_init(void)
{
        return rebootless_loaded(&rebootless_update);
}

static void __exit update_exit(void)
{
}

module_init(update_init);
module_exit(update_exit);
MODULE_DESCRIPTION("rebootless update {{ name }} {{ version }}");
MODULE_LICENSE("GPL");
MODULE_INFO(rebootless_name, "{{ name }}");
MODULE_INFO(rebootless_version, "{{ version }}");
MODULE_INFO(rebootless_digest, "{{ digest }}");
MODULE_INFO(rebootless_build_id, "{{ build_id_hex }}");
{% for namespace in namespaces %}
MODULE_IMPORT_NS({{ namespace }});
{% endfor %}
"""

REPLACEMENT_S = """\
/* SPDX-License-Identifier: GPL-2.0 */
/* The replacement code of update {{ name }} {{ version }}.  Generated from the kernel's own objects. */
{{ code }}
"""

TABLES_S = """\
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Update {{ name }} {{ version }}: what is not for objtool to read.  Generated. */
{% for part in parts %}
        .section .rodata.match_program,"a",@progbits
        .balign 8
        .globl {{ part.program }}
        .type {{ part.program }},@object
{{ part.program }}:
        .incbin "{{ part.file }}"
        .size {{ part.program }}, . - {{ part.program }}
{% endfor %}
{{ tables }}
"""

KBUILD = """\
obj-m := {{ module }}.o
{{ module }}-y := update.o replacement.o tables.o
asflags-y := -Wa,-I$(src)
OBJECT_FILES_NON_STANDARD_tables.o := y
# Of a kernel with KASAN: constructors that tell of the descriptor's variables would be code to which nothing leads.
KASAN_SANITIZE := n
"""
# REUSE-IgnoreEnd
