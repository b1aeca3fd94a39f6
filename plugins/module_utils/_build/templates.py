# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sources of an update module, as jinja2 templates.  Private to rebootless.splice.

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
#include "match.h"
#include "rebootless.h"

extern const char rbl_program[];
{% for handle in handles %}
extern char {{ handle }}[];
{% endfor %}

static const u8 build_id[] = { {{ build_id | join(", ") }} };

static const struct rbl_function functions[] = {
{% for row in functions %}
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

static const struct rbl_fixup fixups[] = {
{% for fixup in fixups %}
        /* {{ fixup.name }} */
        { {{ fixup.handle }} + {{ fixup.offset }}, {{ fixup.type }}, {{ fixup.symbol }}, {{ fixup.addend }} },
{% endfor %}
};

struct rbl_update rebootless_update = {
        .abi = RBL_ABI,
        .program_size = {{ program_size }},
        .name = "{{ name }}",
        .version = "{{ version }}",
        .digest = "{{ digest }}",
        .build_id = build_id,
        .build_id_size = sizeof(build_id),
        .n_functions = ARRAY_SIZE(functions),
        .program = rbl_program,
        .functions = functions,
        .fixups = fixups,
        .n_fixups = ARRAY_SIZE(fixups),
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
        .section .rodata.match_program,"a",@progbits
        .balign 8
        .globl rbl_program
        .type rbl_program,@object
rbl_program:
        .incbin "match.bin"
        .size rbl_program, . - rbl_program
{{ tables }}
"""

KBUILD = """\
obj-m := {{ module }}.o
{{ module }}-y := update.o replacement.o tables.o
asflags-y := -Wa,-I$(src)
OBJECT_FILES_NON_STANDARD_tables.o := y
"""
# REUSE-IgnoreEnd
