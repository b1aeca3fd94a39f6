# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines as a kernel finds them: what the processor has, what the kernel decides on it, and who runs below it.

Features have the names of ``arch/x86/include/asm/cpufeatures.h``, without ``X86_FEATURE_`` (and ``BUG_ITS`` for
``X86_BUG_ITS``).  The processors' own are those that /proc/cpuinfo shows on such machines; the kernel's decisions are
those of ``arch/x86/kernel/cpu/bugs.c`` without any parameter, unless a name says another one.
"""

from __future__ import annotations

import dataclasses
import random
import typing as t

from ansible_collections.rebootless.splice.tests.corpus.kernel_facts import FeatureNames

Features = frozenset[str]


@dataclasses.dataclass(frozen=True)
class Cpu:
    """A machine.

    ``features`` are all that its processors have in the kernel's eyes, ``later`` those of them that 6.1 has no name
    for.  ``return_thunk`` is what ``x86_return_thunk`` points to, "" for what it points to anyway.  ``calls`` are the
    pointers of ``pv_ops`` that a hypervisor's code sets, to a function of one of the names that it has in the series;
    before, whole groups of it are copied from ``copies``.
    """

    name: str
    features: Features
    later: Features = frozenset()
    return_thunk: str = ""
    calls: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    copies: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    count: int = 2

    def in_kernel(self, names: FeatureNames) -> Features:
        """The features by the names of this kernel.  Raises ``LookupError`` for one that it ought to know."""
        unknown = self.features - names.numbers.keys()
        if unknown:
            raise LookupError(f"{self.name}: this kernel knows no {', '.join(sorted(unknown))}")
        return self.features | (self.later & names.numbers.keys())


def _names(text: str) -> Features:
    return frozenset(text.split())


COMMON = _names(
    "FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFLUSH MMX FXSR XMM XMM2 HT SYSCALL NX "
    "GBPAGES RDTSCP LM CONSTANT_TSC REP_GOOD NOPL NONSTOP_TSC CPUID APERFMPERF XMM3 PCLMULQDQ MWAIT SSSE3 FMA CX16 "
    "XMM4_1 XMM4_2 MOVBE POPCNT AES XSAVE OSXSAVE AVX F16C RDRAND LAHF_LM ABM 3DNOWPREFETCH FSGSBASE BMI1 AVX2 SMEP "
    "BMI2 RDSEED ADX SMAP CLFLUSHOPT XSAVEOPT XSAVEC XGETBV1 XSAVES "
    # The kernel's own: what it concludes from these, and mitigations that all of them need.
    "ALWAYS XCOMPACTED LFENCE_RDTSC USE_IBPB RSB_CTXSW FENCE_SWAPGS_USER FENCE_SWAPGS_KERNEL "
    "BUG_SPECTRE_V1 BUG_SPECTRE_V2 BUG_SPEC_STORE_BYPASS"
)
INTEL = COMMON | _names(
    "ERMS INVPCID PCID X2APIC TSC_ADJUST TSC_DEADLINE_TIMER ARCH_PERFMON PEBS BTS SELFSNOOP IDA HWP VMX AVX512F CLWB "
    "PKU OSPKE MSR_SPEC_CTRL IBRS IBPB STIBP SSBD SPEC_CTRL_SSBD SYSENTER32 BUG_SWAPGS"
)
AMD = COMMON | _names(
    "CPB HW_PSTATE TOPOEXT BPEXT SVM VMMCALL SMCA SUCCOR OVERFLOW_RECOV XSAVEERPTR AMD_IBPB IBPB ZEN SYSCALL32 "
    "BUG_SYSRET_SS_ATTRS"
)
ITS = _names("RETHUNK INDIRECT_THUNK_ITS BUG_ITS")
SRSO = _names("RETHUNK UNRET BUG_SRSO")

SKYLAKE = INTEL | _names("PTI KERNEL_IBRS RSB_VMEXIT CLEAR_CPU_BUF L1TF_PTEINV BUG_CPU_MELTDOWN BUG_RETBLEED BUG_MDS")
CASCADE_LAKE = INTEL | _names("IBRS_ENHANCED MSR_TSX_CTRL CLEAR_CPU_BUF CLEAR_BHB_LOOP")
ICE_LAKE = CASCADE_LAKE - _names("MSR_TSX_CTRL") | _names("FSRM UMIP RDPID LA57 SGX SGX1 SGX_LC")
SAPPHIRE_RAPIDS = ICE_LAKE - _names("CLEAR_CPU_BUF CLEAR_BHB_LOOP") | _names(
    "SERIALIZE WAITPKG ENQCMD CLDEMOTE MOVDIRI AMX_TILE XFD ARCH_LBR IBT SGX2 BHI_CTRL CLEAR_BHB_HW"
)
ZEN_1 = AMD | _names("RETPOLINE RETHUNK UNRET ZEN1 LS_CFG_SSBD BUG_NULL_SEG BUG_DIV0 BUG_IBPB_NO_RET BUG_RETBLEED")
ZEN_2 = AMD | _names("RETPOLINE ZEN2 CLWB UMIP RDPID AMD_SSBD SSBD MSR_SPEC_CTRL IBPB_EXIT_TO_USER BUG_RETBLEED")
ZEN_3 = AMD | _names(
    "RETPOLINE ZEN3 ERMS FSRM INVPCID PCID PKU OSPKE CLWB UMIP RDPID AMD_SSBD SSBD MSR_SPEC_CTRL IBRS SME_COHERENT "
    "VERW_CLEAR CLEAR_CPU_BUF IBPB_EXIT_TO_USER"
)
ZEN_4 = ZEN_3 - _names("RETPOLINE ZEN3") | _names(
    "ZEN4 AUTOIBRS IBRS_ENHANCED AVX512F LA57 AMD_LBR_V2 AMD_LBR_PMC_FREEZE PERFMON_V2"
)
# Hypervisors keep these for themselves.
NOT_IN_GUESTS = _names("APERFMPERF HWP IDA MWAIT VMX SVM SGX SGX1 SGX2 SGX_LC CPB HW_PSTATE RDRAND")
NOT_UNDER_XEN = _names("LA57 PCID MTRR SYSENTER32 PTI")  # xen_init_capabilities() in arch/x86/xen/enlighten_pv.c

PV_UNLOCK = "__raw_callee_save___pv_queued_spin_unlock"
PV_LOCKS = {"lock.queued_spin_lock_slowpath": "__pv_queued_spin_lock_slowpath", "lock.queued_spin_unlock": PV_UNLOCK}
KVM = {  # arch/x86/kernel/kvm.c
    **PV_LOCKS,
    "cpu.io_delay": "kvm_io_delay",
    "lock.wait": "kvm_wait",
    "lock.kick": "kvm_kick_cpu",
    "lock.vcpu_is_preempted": "__raw_callee_save___kvm_vcpu_is_preempted",
    "mmu.flush_tlb_multi": "kvm_flush_tlb_multi",
    "mmu.tlb_remove_table": "tlb_remove_table",
}
HYPER_V = {  # arch/x86/hyperv
    **PV_LOCKS,
    "lock.wait": "hv_qlock_wait",
    "lock.kick": "hv_qlock_kick",
    "lock.vcpu_is_preempted": "__raw_callee_save_hv_vcpu_is_preempted",
    "mmu.flush_tlb_multi": "hyperv_flush_tlb_multi",
    "mmu.tlb_remove_table": "tlb_remove_table",
}
XEN_LOCKS = {  # arch/x86/xen/spinlock.c
    **PV_LOCKS,
    "lock.wait": "xen_qlock_wait",
    "lock.kick": "xen_qlock_kick",
    "lock.vcpu_is_preempted": "__raw_callee_save_xen_vcpu_stolen",
}
XEN_HVM = {**XEN_LOCKS, "mmu.exit_mmap": "xen_hvm_exit_mmap"}  # and mmu_hvm.c
XEN_PV_COPIES = {"cpu": "xen_cpu_ops", "irq": "xen_irq_ops", "mmu": "xen_mmu_ops"}
XEN_PV = {  # xen_setup_vcpu_info_placement() and xen_post_allocator_init()
    **XEN_LOCKS,
    "irq.save_fl": "xen_save_fl_direct",
    "irq.irq_disable": "xen_irq_disable_direct",
    "irq.irq_enable": "xen_irq_enable_direct",
    "mmu.read_cr2": "xen_read_cr2_direct",
    **{f"mmu.{name}": f"xen_{name}" for name in ("set_pte", "set_pmd", "set_pud", "set_p4d", "write_cr3")},
    **{f"mmu.{do}_{what}": f"xen_{do}_{what}" for do in ("alloc", "release") for what in ("pte", "pmd", "pud")},
    "mmu.make_pte": "__raw_callee_save_xen_make_pte",
}


def _guest(features: Features, more: str = "") -> Features:
    return features - NOT_IN_GUESTS | _names("HYPERVISOR TSC_KNOWN_FREQ") | _names(more)


SHSTK, STRINGS = _names("SHSTK USER_SHSTK"), _names("FZRM FSRS")
CPUS = (
    Cpu("Skylake, IBRS and PTI", SKYLAKE),
    Cpu("Cascade Lake, ITS", CASCADE_LAKE | ITS, return_thunk="its_return_thunk"),
    Cpu("Ice Lake, ITS", ICE_LAKE | ITS, return_thunk="its_return_thunk"),
    Cpu("Sapphire Rapids", SAPPHIRE_RAPIDS, SHSTK | STRINGS),
    Cpu("Zen 1, UNRET", ZEN_1, return_thunk="retbleed_return_thunk"),
    Cpu("Zen 2, SRSO", ZEN_2 | SRSO | {"SRSO"}, return_thunk="srso_return_thunk"),
    Cpu("Zen 2, retbleed=ibpb", ZEN_2 | {"ENTRY_IBPB"}),
    Cpu("Zen 3, SRSO", ZEN_3 | SRSO | {"SRSO_ALIAS"}, SHSTK, "srso_alias_return_thunk"),
    Cpu("Zen 4, SRSO", ZEN_4 | SRSO | {"SRSO_ALIAS"}, SHSTK, "srso_alias_return_thunk"),
    Cpu("KVM guest on Ice Lake, ITS", _guest(ICE_LAKE | ITS, "VMCALL"), return_thunk="its_return_thunk", calls=KVM),
    Cpu(
        "Hyper-V guest on Zen 3, SRSO",
        _guest(ZEN_3 | SRSO | {"SRSO_ALIAS"}),
        return_thunk="srso_alias_return_thunk",
        calls=HYPER_V,
    ),
    Cpu("Xen HVM guest on Skylake", _guest(SKYLAKE, "VMCALL"), calls=XEN_HVM),
    Cpu(
        "Xen PV guest on Zen 2, SRSO",
        _guest(ZEN_2 | SRSO | {"SRSO"}, "XENPV") - NOT_UNDER_XEN,
        return_thunk="srso_return_thunk",
        calls=XEN_PV,
        copies=XEN_PV_COPIES,
    ),
    # One processor, on which the kernel takes the lock prefixes out: with its last ways of writing text, which would
    # use PCIDs, that the emulator lacks; so it is one without.
    Cpu(
        "VMware guest on Zen 2, SRSO, one processor",
        _guest(ZEN_2 | SRSO | {"SRSO"}, "VMW_VMMCALL TSC_RELIABLE"),
        return_thunk="srso_return_thunk",
        calls={"cpu.io_delay": "_paravirt_nop nop_func"},
        count=1,
    ),
)
BY_NAME = {cpu.name: cpu for cpu in CPUS}

RETURN_THUNKS = ("", "retbleed_return_thunk", "srso_return_thunk", "srso_alias_return_thunk", "its_return_thunk")
# Call depth tracking is what the preflight refuses; every kernel sets the other one.
NEVER_AT_RANDOM, ALWAYS_AT_RANDOM = _names("CALL_DEPTH"), _names("ALWAYS")


def random_cpu(seed: str, names: FeatureNames) -> Cpu:
    """A machine made by lot: each feature by the toss of a coin, a hypervisor, and a return thunk."""
    choose = random.Random(seed)
    features = {name for name in sorted(names.numbers) if choose.random() < 0.5} - NEVER_AT_RANDOM | ALWAYS_AT_RANDOM
    calls = choose.choice(({}, KVM, HYPER_V, XEN_HVM))
    return Cpu(f"random {seed}", frozenset(features), frozenset(), choose.choice(RETURN_THUNKS), calls)
