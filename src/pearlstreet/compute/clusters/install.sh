#!/bin/sh
# Makes this host a part of the cluster. Run it as root on every host, with the whole folder beside it: the controller first,
# then the host of the accounting, then the others. It may be run again at any time; each step does only what is missing and is
# checked afterwards.
#
#   sh install.sh            the parts that cluster.env names for this host
#   sh install.sh --check    only the checks, nothing is changed
set -eu
cd "$(dirname "$0")"
. ./cluster.env

ETC=/etc/slurm
SELF=$(hostname -s)
ONLY_CHECK=${1:-}
FAILED=0

say() { printf '%s\n' "$*"; }

# check WHAT HOW-TO-REPAIR COMMAND...: tries for ten seconds, because daemons take a moment.
check() {
    what=$1 repair=$2
    shift 2
    tries=0
    until "$@" >/tmp/pearl-check.$$ 2>&1; do
        tries=$((tries + 1))
        if [ -n "$ONLY_CHECK" ] || [ $tries -ge 20 ]; then
            say "  FAILED  $what"
            sed 's/^/          /' /tmp/pearl-check.$$ | tail -n 5
            say "          $repair"
            rm -f /tmp/pearl-check.$$
            FAILED=1
            [ -n "$ONLY_CHECK" ] && return 0
            exit 1
        fi
        sleep 0.5
    done
    rm -f /tmp/pearl-check.$$
    say "  ok      $what"
}

# change COMMAND...: runs it unless only checks are wanted.
change() { [ -n "$ONLY_CHECK" ] || "$@"; }

is_one_of() {
    for name in $2; do [ "$name" = "$1" ] && return 0; done
    return 1
}

has_systemd() { [ -d /run/systemd/system ]; }

# start UNIT COMMAND...: by systemd, else by the command itself, which puts itself into the background.
start() {
    unit=$1
    shift
    if has_systemd; then
        systemctl enable --quiet "$unit"
        systemctl restart "$unit"
    else
        pidfile="/run/slurm/$unit.pid"
        if [ -s "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null; then
            kill "$(cat "$pidfile")"
            tries=0
            while kill -0 "$(cat "$pidfile" 2>/dev/null || echo 0)" 2>/dev/null && [ $tries -lt 40 ]; do
                tries=$((tries + 1))
                sleep 0.25
            done
        fi
        "$@"
    fi
}

install_packages() {
    if command -v apt-get >/dev/null; then
        missing=""
        for package in "$@"; do
            dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $package"
        done
        [ -z "$missing" ] && return 0
        DEBIAN_FRONTEND=noninteractive apt-get -q update >/dev/null
        # shellcheck disable=SC2086  # a list of names
        DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing >/dev/null
    elif command -v dnf >/dev/null; then
        say "  note    package names of this distribution are a guess and were never tried"
        dnf -q -y install epel-release
        dnf -q -y install munge slurm slurm-slurmctld slurm-slurmd slurm-slurmdbd slurm-slurmrestd bubblewrap
    else
        say "Neither apt-get nor dnf is here; install Slurm, munge and bubblewrap by hand, then run this again" >&2
        exit 1
    fi
}

place() { # place FILE MODE OWNER: into Slurm's folder
    install -o "$3" -g "$3" -m "$2" "$1" "$ETC/$1"
}

packages() {
    say "Packages"
    names="munge slurm-client bubblewrap curl"
    is_compute && names="$names slurmd"
    is_controller && names="$names slurmctld slurmrestd slurm-wlm-jwt-plugin"
    is_accounting && names="$names slurmdbd slurm-wlm-mysql-plugin mariadb-server"
    # The plugins of tokens are needed wherever a daemon reads AuthAltTypes.
    is_compute && names="$names slurm-wlm-jwt-plugin"
    # shellcheck disable=SC2086  # a list of names
    change install_packages $names
    check "Slurm is installed" "Look at the output of apt-get above" sh -c "command -v munge sinfo bwrap"
}

munge_part() {
    say "Authentication"
    if [ -z "$ONLY_CHECK" ]; then
        install -d -o slurm -g slurm -m 755 /run/slurm
        ! has_systemd || echo 'd /run/slurm 0755 slurm slurm' >/etc/tmpfiles.d/pearl-slurm.conf
    fi
    if [ -z "$ONLY_CHECK" ] && ! cmp -s munge.key /etc/munge/munge.key; then
        install -d -o munge -g munge -m 700 /etc/munge
        install -o munge -g munge -m 400 munge.key /etc/munge/munge.key
    fi
    if [ -z "$ONLY_CHECK" ]; then
        has_systemd || install -d -o munge -g munge -m 755 /run/munge
        start munge sh -c 'setpriv --reuid=munge --regid=munge --clear-groups munged --num-threads=10 && cp /run/munge/munged.pid /run/slurm/munge.pid'
    fi
    check "munge makes and reads credentials" "See /var/log/munge/munged.log; clocks of all hosts must agree" sh -c 'munge -n | unmunge'
}

configuration() {
    say "Configuration"
    if [ -z "$ONLY_CHECK" ]; then
        install -d -o root -g root -m 755 "$ETC"
        install -d -o slurm -g slurm -m 755 /var/log/slurm /var/lib/slurm /var/lib/slurm/slurmctld
        for file in slurm.conf gres.conf topology.conf cgroup.conf; do
            [ ! -f "$file" ] || place "$file" 644 root
        done
        if is_controller || is_accounting; then place jwt_hs256.key 600 slurm; fi
        if is_accounting; then place slurmdbd.conf 600 slurm; fi
    fi
    for file in slurm.conf gres.conf topology.conf; do
        check "$file is the planned one" "Run install.sh without --check" cmp "$file" "$ETC/$file"
    done
    if [ -n "$SHARED_FOLDER" ]; then
        check "the shared folder $SHARED_FOLDER is there" "Mount it on this host" test -d "$SHARED_FOLDER"
    fi
}

accounting() {
    say "Accounting"
    if [ -z "$ONLY_CHECK" ]; then
        if has_systemd; then
            systemctl enable --quiet --now mariadb
        elif ! mariadb-admin ping >/dev/null 2>&1; then
            install -d -o mysql -g mysql /run/mysqld
            [ -d /var/lib/mysql/mysql ] || mariadb-install-db --user=mysql >/dev/null
            setsid mariadbd-safe --user=mysql >/dev/null 2>&1 &
        fi
    fi
    check "the database answers" "See the log of MariaDB" mariadb-admin ping
    if [ -z "$ONLY_CHECK" ]; then
        password=$(cat slurmdbd.password)
        mariadb <<SQL
CREATE DATABASE IF NOT EXISTS slurm_acct_db;
CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY '$password';
ALTER USER 'slurm'@'localhost' IDENTIFIED BY '$password';
GRANT ALL ON slurm_acct_db.* TO 'slurm'@'localhost';
SQL
        start slurmdbd slurmdbd
    fi
    check "slurmdbd answers" "See /var/log/slurm/slurmdbd.log" sacctmgr -n show cluster
    if [ -z "$ONLY_CHECK" ] && [ -z "$(sacctmgr -nP show cluster "$CLUSTER" format=cluster)" ]; then
        sacctmgr -iQ add cluster "$CLUSTER" >/dev/null
    fi
    check "the cluster has its accounts" "sacctmgr add cluster $CLUSTER" sh -c "sacctmgr -nP show cluster $CLUSTER format=cluster | grep -q ."
}

controller() {
    say "Controller"
    change start slurmctld slurmctld
    check "slurmctld answers" "See /var/log/slurm/slurmctld.log" sh -c 'scontrol ping | grep -q "is UP"'
    check "it issues tokens" "AuthAltTypes needs slurm-wlm-jwt-plugin and $ETC/jwt_hs256.key" sh -c 'scontrol token lifespan=60 | grep -q SLURM_JWT='
    if [ -z "$ONLY_CHECK" ]; then
        # slurmrestd refuses to run as root or as Slurm's own user.
        id slurmrestd >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin slurmrestd
        if has_systemd; then
            install -d /etc/systemd/system/slurmrestd.service.d
            cat >/etc/systemd/system/slurmrestd.service.d/pearl.conf <<UNIT
[Service]
User=slurmrestd
Group=slurmrestd
Environment=SLURM_JWT=daemon
ExecStart=
ExecStart=/usr/sbin/slurmrestd -a rest_auth/jwt 127.0.0.1:$RESTD_PORT
UNIT
            systemctl daemon-reload
        fi
        start slurmrestd sh -c "SLURM_JWT=daemon setsid setpriv --reuid=slurmrestd --regid=slurmrestd --clear-groups slurmrestd -a rest_auth/jwt $(rest_plugins) 127.0.0.1:$RESTD_PORT >/var/log/slurm/slurmrestd.log 2>&1 & echo \$! >/run/slurm/slurmrestd.pid"
    fi
    check "slurmrestd answers" "See /var/log/slurm/slurmrestd.log or journalctl -u slurmrestd" rest_ping
}

# Without accounting the plugins of slurmdbd are fatal for slurmrestd; old versions name plugins by version.
rest_plugins() {
    [ -z "$ACCOUNTING" ] || return 0
    case $(slurmctld -V) in
        "slurm 2"[01].* | "slurm 22.05"*) echo "-s openapi/v0.0.38" ;;
        *) echo "-s slurmctld" ;;
    esac
}

rest_ping() {
    token=$(scontrol token lifespan=60)
    for version in v0.0.42 v0.0.40 v0.0.39 v0.0.38; do
        curl -fsS -m 5 -H "X-SLURM-USER-NAME: root" -H "X-SLURM-USER-TOKEN: ${token#SLURM_JWT=}" \
            "http://127.0.0.1:$RESTD_PORT/slurm/$version/ping" && return 0
    done
    return 1
}

compute() {
    say "Compute"
    if [ -z "$ONLY_CHECK" ]; then
        if is_one_of "$SELF" "$MPS"; then mps; fi
        start slurmd slurmd
    fi
    check "the controller knows this host" "Compare 'slurmd -C' with its line in slurm.conf; see /var/log/slurm/slurmd.*.log" node_is_good
    check "jobs can be isolated" "User namespaces must be on: sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces" \
        setpriv --reuid=nobody --regid=nogroup --clear-groups bwrap --unshare-all --ro-bind / / true
}

node_is_good() {
    state=$(sinfo -h -N -n "$SELF" -o %T | head -n 1)
    echo "its state is '$state'"
    case $state in idle* | mixed* | allocated* | drain* | completing* | reserved* | maint*) return 0 ;; *) return 1 ;; esac
}

# CUDA MPS: one daemon for the whole host. Never tried on hardware.
mps() {
    if has_systemd; then
        cat >/etc/systemd/system/nvidia-mps.service <<UNIT
[Unit]
Description=CUDA Multi-Process Service
[Service]
Type=forking
ExecStart=/usr/bin/nvidia-cuda-mps-control -d
ExecStop=/bin/sh -c 'echo quit | /usr/bin/nvidia-cuda-mps-control'
[Install]
WantedBy=multi-user.target
UNIT
        systemctl daemon-reload
    fi
    start nvidia-mps nvidia-cuda-mps-control -d
}

is_controller() { [ "$SELF" = "$CONTROLLER" ]; }
is_accounting() { [ "$SELF" = "$ACCOUNTING" ]; }
is_compute() { is_one_of "$SELF" "$COMPUTE"; }

[ "$(id -u)" = 0 ] || { say "install.sh: run it as root" >&2; exit 1; }
is_controller || is_accounting || is_compute || {
    say "install.sh: this host calls itself $SELF, which cluster.env does not name" >&2
    exit 1
}
packages
munge_part
configuration
if is_accounting; then accounting; fi
if is_controller; then controller; fi
if is_compute; then compute; fi
[ $FAILED = 0 ] && say "This host is ready." || exit 1
