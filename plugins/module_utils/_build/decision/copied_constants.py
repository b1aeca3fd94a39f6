# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a copy of a constant may be kept.

An exchanged constant reaches the code that looks at it where it is, but no copy of it.  The kernel copies many structs
when they are registered (``struct ctl_table`` for each network namespace, ``struct rhashtable_params``),
so one is taken for copied unless it is known not to be, or the object that has it shows that there can be no copy.
"""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece, Pieces
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import (
    lets_out,
    reads_in_place,
    uses,
)

# Structs whose users keep the address.  Each was looked for in Linux 6.1 and 6.12: no struct has one
# of them as a member, and nothing copies those of others into memory of its own (``kmemdup``, assignment).
KEPT_STRUCTS = frozenset(
    (
        # files and file systems
        *("address_space_operations", "constant_table", "dentry_operations", "dquot_operations", "export_operations"),
        *("file_lock_operations", "file_operations", "fs_context_operations", "fscrypt_operations"),
        *("fsverity_operations", "inode_operations", "iomap_dio_ops", "iomap_ops", "iomap_writeback_ops"),
        *("lock_manager_operations", "nfs_rpc_ops", "pipe_buf_operations", "proc_ops", "quotactl_ops"),
        *("rpc_call_ops", "rpc_program", "seq_operations", "super_operations", "svc_procedure", "svc_version"),
        *("sysfs_ops", "vm_operations_struct", "xattr_handler", "xfs_buf_ops", "xfs_item_ops"),
        # network
        *("bpf_func_proto", "bpf_map_ops", "bpf_prog_ops", "bpf_verifier_ops", "ceph_auth_client_ops"),
        *("ceph_connection_operations", "dcbnl_rtnl_ops", "header_ops", "inet6_protocol", "inet_diag_handler"),
        *("macsec_ops", "neigh_ops", "net_device_ops", "net_offload", "net_protocol", "netlink_range_validation"),
        *("nfnl_callback", "nft_expr_ops", "nft_object_ops", "nft_set_ops", "nft_set_type", "nla_policy"),
        *("packet_offload", "proto_ops", "Qdisc_class_ops", "rtnl_af_ops", "sctp_sm_table_entry", "switchdev_ops"),
        *("tcf_proto_ops", "tlsdev_ops", "xfrmdev_ops"),
        # block devices, drivers, and the kernel itself
        *("blk_mq_ops", "block_device_operations", "btrfs_compress_op", "dev_pagemap_ops", "dma_map_ops"),
        *("hwmon_ops", "io_cold_def", "io_issue_def", "io_op_def", "kernel_param_ops", "mmu_interval_notifier_ops"),
        *("mmu_notifier_ops", "nvme_ctrl_ops", "nvmet_fabrics_ops", "pci_error_handlers", "pr_ops", "sched_class"),
        *("snd_pcm_ops", "tty_operations", "tty_port_operations", "vb2_ops", "virtio_config_ops", "watchdog_ops"),
    )
)
# Structs that are known to be copied, and by what.
COPIED_STRUCTS = {
    "clk_init_data": "drivers/clk/clk.c",
    "ctl_table": "kmemdup() for each network namespace",
    "dev_pm_ops": "struct dev_pm_domain",
    "dst_ops": "include/net/dst_ops.h (a template for each network namespace)",
    "ethtool_ops": "net/dsa/master.c",
    "fb_ops": "drivers/video/fbdev",
    "fib_notifier_ops": "net/core/fib_notifier.c",
    "fib_rules_ops": "net/core/fib_rules.c",
    "gpio_chip": "drivers/gpio (a template for each device)",
    "i2c_board_info": "drivers/i2c/i2c-core-base.c",
    "ib_device_ops": "drivers/infiniband/core/device.c",
    "ieee80211_ops": "drivers/net/wireless",
    "inet_connection_sock_af_ops": "net/mptcp/subflow.c, net/smc/af_smc.c",
    "irq_chip": "kernel/irq (a template for each device)",
    "kernfs_ops": "kernel/cgroup/cgroup.c",
    "mfd_cell": "drivers/mfd/mfd-core.c",
    "nf_hook_ops": "net/netfilter/core.c",
    "nvmem_config": "drivers/nvmem",
    "platform_device_info": "drivers/base/platform.c",
    "property_entry": "drivers/base/swnode.c",
    "ptp_clock_info": "drivers/net (a template for each device)",
    "regmap_config": "drivers/base/regmap/regmap.c",
    "request_sock_ops": "net/mptcp/subflow.c",
    "resource": "drivers/base/platform.c",
    "rhashtable_params": "lib/rhashtable.c",
    "rtnl_msg_handler": "net/core/rtnetlink.c",
    "snd_kcontrol_new": "sound/core/control.c",
    "snd_pcm_hardware": "sound/core (for each open stream)",
    "spi_board_info": "drivers/spi/spi.c",
    "tcp_request_sock_ops": "net/mptcp/subflow.c",
    "thermal_zone_device_ops": "drivers/thermal/thermal_core.c",
    "thermal_zone_params": "drivers/thermal/thermal_core.c",
    "v4l2_ctrl_config": "drivers/media/v4l2-core/v4l2-ctrls-core.c",
}
# Single constants of a kind that is not copied otherwise, and what copies them.
COPIED_CONSTANTS = {
    "inet_stream_ops": "net/tls/tls_main.c or net/xfrm/espintcp.c",
    "inet6_stream_ops": "net/tls/tls_main.c or net/xfrm/espintcp.c",
}


def why_copied(pieces: Pieces, constant: Piece, type_name: str) -> str:
    """Why there may be a copy of ``constant``, a ``struct type_name`` or no struct; "" if there is none.

    ``pieces`` are those of the pre object.
    """
    if type_name in COPIED_STRUCTS:
        return f"code that was given this struct {type_name} has a copy of the old one ({COPIED_STRUCTS[type_name]})"
    if constant.name in COPIED_CONSTANTS:
        return f"{COPIED_CONSTANTS[constant.name]} has a copy of the old one"
    if type_name in KEPT_STRUCTS:
        return ""
    what = f"this struct {type_name}" if type_name else "it"
    if constant.is_global:
        return f"other units may have copied {what}"
    for user, r in uses(pieces, constant):
        if user.kind != "function" or user.lifetime != "text":
            return f"{user.name or user.section.name} has its address, and who got {what} from there may have copied it"
        if not reads_in_place(user, r) and lets_out(pieces, user, r):
            return f"{user.name} gives its address away, and who got {what} may have copied it"
    return ""
