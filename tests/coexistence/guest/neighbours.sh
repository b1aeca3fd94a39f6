# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
# What the rows of table.py are written in: on a lab machine, in the directory of the programs, before each of their lines.
# INSIDE, JUMP, ENTER: offsets of an instruction of unix_ioctl() that is none of the jump's, of its jump, and of enter() in
# `caller`; OLD, NEW: addresses of unix_ioctl() and of its replacement; UPDATE: the update's directory in sysfs.
set -eu
. /run/coexistence.env
T=/sys/kernel/tracing
CPU=/sys/devices/system/cpu/cpu1/online
GROUP=/sys/fs/cgroup/coexistence

# until COMMAND...: waits until it succeeds, some 20 seconds at most
until_true() {
	local turns=0
	until "$@"; do
		turns=$((turns + 1))
		[ $turns -lt 200 ]
		sleep 0.05
	done
}

is_live() { case $(cat "$UPDATE/state") in applied | confirmed | bypassed) true ;; *) false ;; esac; }

# What calls say while the update is in the state that it is in.
expected() { if is_live; then echo new; else echo old; fi; }

# grows COMMAND...: whether the number that it prints grows when the functions are called
grows() {
	local before
	before=$("$@")
	./caller >/dev/null
	[ "$("$@")" -gt "$before" ]
}

# ---- kprobes, uprobes

kprobe() { echo "$1" >$T/kprobe_events; }
arm() { echo 1 >$T/events/kprobes/coexistence/enable; }
disarm() { echo 0 >$T/events/kprobes/coexistence/enable; }
kprobe_gone() { disarm; echo >$T/kprobe_events; }
kprobe_hits() { awk '$1 == "coexistence" { print $2 }' $T/kprobe_profile; }
kprobe_is() { grep "unix_ioctl+0x$(printf %x "$2")" /sys/kernel/debug/kprobes/list | grep -q "\[$1\]"; }
is_armed() { ! kprobe_is DISABLED "$1" && ! kprobe_is OPTIMIZED "$1" && grep -q "unix_ioctl+0x$(printf %x "$1")" \
	/sys/kernel/debug/kprobes/list; }
optimize() { sysctl -q debug.kprobes-optimization="$1"; }

# Whether the kernel lists, for unix_ioctl(), bytes of its jump that no kprobe may lie on.
BARRED=/sys/kernel/debug/kprobes/blacklist
lists_bar() { grep -q "	unix_ioctl\$" $BARRED; }
lists_no_bar() { ! lists_bar && ! grep -q 0xffffffffffffffff $BARRED; }
# kprobe_unless_barred KPROBE: false if the kernel says that none may lie there
kprobe_unless_barred() {
	if kprobe "$1" 2>/run/said; then return; fi
	grep -q "Invalid argument" /run/said || { cat /run/said; exit 1; }
	false
}

uprobe_gone() { echo 0 >$T/events/uprobes/coexistence/enable; echo >$T/uprobe_events; }
uprobe_hits() { awk '$2 == "coexistence" { print $3 }' $T/uprobe_profile; }

# ---- ftrace

trace_with() { echo unix_ioctl >$T/set_ftrace_filter; echo "$1" >$T/current_tracer; }
trace_gone() { echo nop >$T/current_tracer; echo >$T/set_ftrace_filter; }
traced() { grep -c 'unix_ioctl' $T/trace || true; }

# ---- BPF

# attach KIND FUNCTION ANSWER
attach() {
	./attach "$@" >/run/attach.said 2>&1 &
	echo $! >/run/attach.pid
	until_true grep -q . /run/attach.said
	grep -q attached /run/attach.said
}
is_gone() { case $(awk '{ print $3 }' "/proc/$1/stat" 2>/dev/null) in "" | Z | X) true ;; *) false ;; esac; }
attached_gone() {
	kill "$(cat /run/attach.pid)"
	until_true is_gone "$(cat /run/attach.pid)"
}
# comes_and_goes_fast KIND FUNCTION: every few milliseconds
comes_and_goes_fast() {
	./attach "$@" 0 loop &
	sleep 0.5
	kill $!
	wait $! || true
}
bpf_runs() { cat /proc/"$(cat /run/attach.pid)"/fdinfo/* | awk '$1 == "run_cnt:" { runs += $2 } END { print runs }'; }

# ---- the kernel's own live patching

live_patch() {
	insmod ./other_live_patch.ko symbol=unix_ioctl
	until_true grep -q 0 /sys/kernel/livepatch/other_live_patch/transition
}
live_patch_gone() {
	echo 0 >/sys/kernel/livepatch/other_live_patch/enabled
	until_true rmmod other_live_patch 2>/dev/null
}
is_live_patched() { ./caller | grep -q '^ioctl elsewhere'; }

# ---- the machine

suspend() {
	echo 0 >/sys/class/rtc/rtc0/wakealarm
	echo +2 >/sys/class/rtc/rtc0/wakealarm
	echo mem >/sys/power/state
}
suspends() {
	local before
	before=$(cat /sys/power/suspend_stats/success)
	suspend
	[ "$(cat /sys/power/suspend_stats/success)" -gt "$before" ]
}

comes_and_goes() {
	echo "$1" >$CPU
	echo $((1 - $1)) >$CPU
}

# ---- memory

eaten() { awk '$1 == "oom_kill" { print $2 }' $GROUP/memory.events; }
group() {
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir $GROUP
	echo 4M >$GROUP/memory.max
}
runs_out_of_memory() {
	local before status=0
	before=$(eaten)
	sh -c "echo 0 >$GROUP/cgroup.procs && exec ./caller eat" || status=$?
	[ $status = 137 ] && [ "$(eaten)" -gt "$before" ]
}

# ---- modules

queue_is() { ip -o link show rbltest | grep -q "qlen $1\$"; }
# A device that is made now shows which code made it.
makes_devices() {
	local length=1000 status=0
	if is_live; then length=77; fi
	ip link add rbltest type dummy
	ip -o link show rbltest | grep -q "qlen $length" || status=1
	ip link del rbltest
	return $status
}

# ---- tasks that are stopped

state_is() { [ "$(awk '{ print $3 }' /proc/"$1"/stat)" = "$2" ]; }
receives() { grep -q '^70 ' /proc/"$1"/syscall; }
stopped() {
	./caller receive >/run/received 2>&1 &
	echo $! >/run/stopped.pid
	until_true receives $!
	kill -STOP $!
	until_true state_is $! T
}
# It goes on in the code that is there now.
goes_on() {
	local pid said
	pid=$(cat /run/stopped.pid)
	kill -CONT "$pid"
	./caller send
	until_true is_gone "$pid"
	said=$(cat /run/received)
	stopped
	[ "$said" = "$(expected)" ]
}
stopped_gone() {
	kill -KILL "$(cat /run/stopped.pid)"
	until_true is_gone "$(cat /run/stopped.pid)"
}

has_sleeper() { [ "$(cat /sys/module/busy/parameters/sleeper)" != 0 ]; }
has_come() { is_gone "$1" || has_sleeper; }
# Whether a task was caught in the function; not if the update came or went meanwhile, so that it is in the other code.
catch() {
	local at=$OLD
	if is_live; then at=$NEW; fi
	insmod ./busy.ko address="$at" offset="$JUMP" comm=sleeper
	./sleeper >/run/received 2>&1 &
	echo $! >/run/stopped.pid
	until_true has_come $!
	has_sleeper
}
# A task that sleeps in the function, and is to stop when it leaves it.  It is not waited for long.
asleep() {
	local turns=0
	echo 2 >/sys/module/rebootless/parameters/tries
	[ -e sleeper ] || cp caller sleeper
	until catch; do
		rmmod busy
		turns=$((turns + 1))
		[ $turns -lt 20 ]
	done
	until_true sh -c 'dmesg | grep -q "busy: pid"'
	kill -STOP "$(cat /run/stopped.pid)"
}
sleeps_on() { state_is "$(cat /run/stopped.pid)" D || state_is "$(cat /run/stopped.pid)" I; }
asleep_gone() {
	rmmod busy
	until_true state_is "$(cat /run/stopped.pid)" T
	kill -CONT "$(cat /run/stopped.pid)"
	until_true is_gone "$(cat /run/stopped.pid)"
	echo 11 >/sys/module/rebootless/parameters/tries
}

# ---- the update

# What a command to the update ends with: `done`, or the code of its refusal.
control() {
	if echo "$*" >"$UPDATE/control" 2>/dev/null; then echo "done"; else sed -n 's/^code: //p' "$UPDATE/abort"; fi
}

# reverse_at_last: tells what each try ends with, until one succeeds
reverse_at_last() {
	local said turns=0
	until said=$(control reverse); [ "$said" = "done" ]; do
		echo "reverse $said $(./caller)"
		turns=$((turns + 1))
		[ $turns -lt 100 ]
		sleep 0.05
	done
	echo "reverse done $(./caller)"
}

# meanwhile NEIGHBOUR: applies and reverses until both the update and its neighbour have had several turns
meanwhile() {
	local turns=0 applied=0 said loop
	rm -f /run/over
	: >/run/turns
	( while [ ! -e /run/over ]; do eval "$1"; echo turn >>/run/turns; sleep 0.1; done ) >/run/loop 2>&1 &
	loop=$!
	while [ $turns -lt 3 ] || [ $applied -lt 4 ] || [ "$(wc -l </run/turns)" -lt 3 ]; do
		said=$(control apply)
		echo "apply $said $(./caller)"
		if [ "$said" = "done" ]; then applied=$((applied + 1)); reverse_at_last; fi
		turns=$((turns + 1))
		[ $turns -lt 300 ]
		kill -0 $loop
	done
	touch /run/over
	wait $loop
}
