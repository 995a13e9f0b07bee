#!/usr/bin/env bash
# A SLURM cluster of one node with two pretended GPUs, for tests: no systemd, no cgroups, no accounting database.
#   cluster.sh up FOLDER      FOLDER: the cluster's own; no spaces in its name
#   cluster.sh down FOLDER
# It ends with `down`, or with the process that called `up`, however that ends.
# Needs root and Debian's slurm-wlm and munge. Ends with 77 and a reason where this machine can't hold such a cluster.
set -euo pipefail
FOLDER=$(realpath -m "$2")
CONFIGURATION=/etc/slurm # Snakemake takes SLURM_CONF from the jobs: nowhere else would they find it

cant() {
    echo "$*"
    exit 77
}

owned() { # whether the process that called `up` for a folder is still there
    [ -s "$1/owner" ] && kill -0 "$(cat "$1/owner")" 2>/dev/null
}

stop() { # by its pid file, and wait until it is gone
    [ -s "$1" ] || return 0
    local pid
    pid=$(cat "$1")
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
}

clear_of_others() { # this machine's own configuration stays; what a cluster of these tests left behind goes
    local name file left
    for name in slurm gres; do
        file=$CONFIGURATION/$name.conf
        [ -e "$file" ] || continue
        left=$(dirname "$(readlink "$file" || true)")
        [ -s "$left/owner" ] || cant "this machine has a SLURM configuration: $file"
        ! owned "$left" || cant "another SLURM cluster of these tests is at work: $left"
        "$0" down "$left"
    done
}

up() {
    for program in slurmctld slurmd sbatch munged; do
        command -v $program >/dev/null || cant "SLURM is not installed: no $program"
    done
    [ "$(id -u)" = 0 ] || cant "starting a SLURM cluster needs root"
    clear_of_others
    mkdir -p "$FOLDER"/{state,spool,log}
    for gpu in 0 1; do # a GPU's file must be a device: these are /dev/null once more
        rm -f "$FOLDER/gpu$gpu"
        mknod "$FOLDER/gpu$gpu" c 1 3 || cant "no right to make device files"
    done
    configuration >"$FOLDER/slurm.conf"
    echo "NodeName=$(hostname -s) Name=gpu File=$FOLDER/gpu[0-1]" >"$FOLDER/gres.conf"
    echo $PPID >"$FOLDER/owner"
    ln -sfn "$FOLDER"/{slurm,gres}.conf $CONFIGURATION/
    setsid "$0" watch "$FOLDER" </dev/null >/dev/null 2>&1 &
    if ! munge -n >/dev/null 2>&1; then
        install -d -o munge -g munge -m 0755 /run/munge
        install -d -o munge -g munge -m 0700 /var/log/munge /var/lib/munge
        munged --pid-file="$FOLDER/munged.pid" --log-file="$FOLDER/log/munged.log" --force
    fi
    slurmctld -c && slurmd -c && idle && exit 0
    tail -n 20 "$FOLDER"/log/*.log >&2
    exit 1
}

idle() { # within half a minute
    for _ in $(seq 300); do
        [ "$(timeout 10 sinfo -h -o %t 2>/dev/null)" != idle ] || return 0
        sleep 0.1
    done
    return 1
}

# CPUs and memory are declared, not there (config_overrides): jobs of these tests wait more than they compute.
# proctrack/pgid: linuxproc loses, and lets live, processes whose parent has ended.
# DefMemPerCPU: a job that asks for no memory would take the whole node's. MinJobAge: finished jobs stay in `scontrol`.
configuration() {
    cat <<END
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
GresTypes=gpu
SlurmdParameters=config_overrides
MinJobAge=3600
ReturnToService=2
KillWait=2
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool
SlurmctldLogFile=$FOLDER/log/slurmctld.log
SlurmdLogFile=$FOLDER/log/slurmd.log
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmdPidFile=$FOLDER/slurmd.pid
SlurmctldPort=26817
SlurmdPort=26818
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=$(hostname -s) Default=YES MaxTime=INFINITE State=UP
END
}

watch() {
    while owned "$FOLDER"; do sleep 2; done
    [ ! -e "$FOLDER/owner" ] || down
}

down() {
    if [ "$(readlink $CONFIGURATION/slurm.conf)" = "$FOLDER/slurm.conf" ] && timeout 10 scancel --user root 2>/dev/null; then
        for _ in $(seq 100); do [ -n "$(timeout 10 squeue -h 2>/dev/null)" ] || break; sleep 0.1; done
    fi
    [ ! -d "$FOLDER" ] || for daemon in slurmd slurmctld munged; do stop "$FOLDER/$daemon.pid"; done
    for name in slurm gres; do
        [ "$(readlink $CONFIGURATION/$name.conf)" != "$FOLDER/$name.conf" ] || rm $CONFIGURATION/$name.conf
    done
    rm -f "$FOLDER/owner"
}

"$1"
