# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates that do harm, in ways that the build cannot foresee.

All of them match, and are applied: what is wrong with them shows only when they run.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK, Edit

RECEIVE = "\tif (skb->pkt_type == PACKET_OTHERHOST) {\n"


def receiving(statement: str) -> Edit:
    """Every IPv4 packet that comes from a network card meets this statement first."""
    return Edit(
        "net/ipv4/ip_input.c",
        RECEIVE,
        f"\tif (!(skb->dev->flags & IFF_LOOPBACK)) {{\n\t\t{statement}\n\t}}\n{RECEIVE}",
    )


INCLUDE = "#include <rebootless_custom.h>\n#include <linux/delay.h>\n#include <linux/sched/signal.h>\n"

# The whole of user space stands still while the update is live: processes that are not woken any more.
STOP_EVERYTHING = (
    INCLUDE
    + """
static int send_all(int signal)
{
    struct task_struct *task;

    rcu_read_lock();
    for_each_process(task)
        if (!(task->flags & PF_KTHREAD) && !is_global_init(task))
            send_sig(signal, task, 1);
    rcu_read_unlock();
    return 0;
}

static int stop_all(void)
{
    return send_all(SIGSTOP);
}
RBL_HOOK(RBL_POST_APPLY, stop_all);

static int continue_all(void)
{
    return send_all(SIGCONT);
}
RBL_HOOK(RBL_POST_REVERSE, continue_all);
"""
)

# Time in which something can happen to the machine, with the update half way in.
LINGER = (
    INCLUDE
    + """
static int linger(void)
{
    pr_emerg("fleet: about to apply\\n");
    msleep(12000);
    return 0;
}
RBL_HOOK(RBL_PRE_APPLY, linger);
"""
)

# Each time that the update is applied or reversed is told in the kernel's log.
TELL = (
    INCLUDE
    + """
static int tell_applied(void)
{
    pr_info("fleet: applied\\n");
    return 0;
}
RBL_HOOK(RBL_POST_APPLY, tell_applied);

static int tell_reversed(void)
{
    pr_info("fleet: reversed\\n");
    return 0;
}
RBL_HOOK(RBL_POST_REVERSE, tell_reversed);
"""
)

QUEUE = Edit("drivers/net/dummy.c", "\tdev->min_mtu = 0;\n", "\tdev->min_mtu = 0;\n\tdev->tx_queue_len = 77;\n")


@dataclasses.dataclass(frozen=True)
class Harm:
    """An update: what it changes, and the custom code that belongs to the first changed source."""

    name: str
    edits: tuple[Edit, ...]
    custom: str = ""


FIX = Harm("fix", (SIOCATMARK,), TELL)
PANICS = Harm("panics", (receiving('panic("fleet: a bad update");'),))
DEAF = Harm("deaf", (receiving("kfree_skb(skb);\n\t\treturn NULL;"),))
HANGS = Harm("hangs", (SIOCATMARK,), STOP_EVERYTHING)
LINGERS = Harm("lingers", (SIOCATMARK,), LINGER)
MODULE = Harm("module", (SIOCATMARK, QUEUE))
