#!/bin/sh
# SPDX-License-Identifier: MIT
# Checks the model of the Redis protocol exhaustively, then breaks one rule after
# another and wants SPIN to find that. TAP on stdout.
set -eu

model=$(cd "$(dirname "$0")" && pwd)/claim.pml
cc=${CC:-gcc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cd "$work"
number=0
failed=0

report() { # ok|not ok, text
    number=$((number + 1))
    echo "$1 $number - $2"
    [ "$1" = ok ] || { failed=1; sed 's/^/# /' out; }
}

explore() { # safety|liveness, defines...: into ./out; false if it does not compile
    kind=$1
    shift
    rm -f pan pan.* ./*.trail
    spin -a "$@" "$model" >out 2>&1 || return 1
    # Unused transitions of a broken rule are no news: no warnings.
    if [ "$kind" = safety ]; then
        $cc -O2 -w -DSAFETY -DCOLLAPSE -DNOFAIR -DMEMLIM=1200 -o pan pan.c >>out 2>&1 || return 1
        timeout 240 ./pan -m1000000 -n -w23 >out 2>&1 || return 1
    else
        $cc -O2 -w -DCOLLAPSE -DNFAIR=5 -DMEMLIM=1200 -o pan pan.c >>out 2>&1 || return 1
        timeout 240 ./pan -a -f -E -m1000000 -n -w21 >out 2>&1 || return 1
    fi
}

holds() { # text, kind, defines...
    text=$1
    shift
    if explore "$@" && grep -q 'errors: 0' out \
        && ! grep -Eq 'max search depth|MEMLIM|truncated' out; then
        states=$(awk '/states, stored/ {print $1; exit}' out)
        report ok "$text: $states states, none bad"
    else
        report 'not ok' "$text"
    fi
}

fails() { # text, what SPIN must find, kind, defines...
    text=$1
    found=$2
    shift 2
    if explore "$@" && grep -Eq "$found" out && grep -q 'errors: 1' out; then
        report ok "broken: $text: found"
    else
        report 'not ok' "broken: $text: SPIN does not notice"
    fi
}

world='-DPYTHON -DFLUSH -DSWEEPER -DONE_MESSAGE'
one=-DONE_MESSAGE
alone='assertion violated runs_alone'
acks='assertion violated acks_own_claim'
cycle='acceptance cycle'

echo 1..22
# shellcheck disable=SC2086 # a list of defines
{
    holds 'two workers, a deposit published twice, kills and stalls' safety
    holds 'beside Python, FLUSHALL and the sweeper' safety $world
    holds 'the same, stalled in mid-task: a lease is lost, the ledger is not' \
        safety $world -DSTALL_RUNNING
    holds 'credited in the end, whatever happened before' liveness $world -DTROUBLE=3
    holds 'credited in the end without a sweeper, kills only' liveness -DTROUBLE=3

    fails 'claim by RPOP, then HSET' 'assertion violated never_lost' \
        safety $one -DBREAK_ATOMIC_CLAIM
    fails "the envelope's delivery tag instead of a unique one" "$acks" \
        safety $one -DSTALL_RUNNING -DBREAK_UNIQUE_TAG
    fails 'the same beside Python' "$acks" \
        safety $world -DSTALL_RUNNING -DBREAK_UNIQUE_TAG
    fails 'start without the fence' "$alone" \
        safety $one -DWITHOUT_RULE_LEASE -DBREAK_FENCE
    fails 'a fence that keeps the tag' "$alone" \
        safety $one -DWITHOUT_RULE_LEASE -DBREAK_FENCE_RETAG
    fails "ack by message, whoever's claim it is" "$acks" \
        safety $one -DSTALL_RUNNING -DBREAK_ACK_BLIND
    fails 'give back without asking whether the tag is there' \
        'assertion violated one_place' safety $one -DBREAK_MOVE_BLIND
    fails 'ack before the commit' 'assertion violated never_lost' \
        safety $one -DBREAK_ACK_BEFORE_COMMIT
    fails 'running claims not renewed' "$alone" \
        safety $one -DWITHOUT_RULE_LEASE -DBREAK_RENEWAL
    fails 'parked claims without a score in the future' \
        'assertion violated lease_holds' safety $one -DBREAK_FUTURE_SCORE
    fails "an orphan's claim moved without looking at its worker's key again" "$alone" \
        safety $one -DWITHOUT_RULE_LEASE -DBREAK_ORPHAN_BLIND
    fails 'a claim that does not say that its worker lives' "$alone" \
        safety $one -DWITHOUT_RULE_LEASE -DBREAK_ALIVE_WITH_CLAIM
    fails 'settlement without looking whether it is settled' \
        'assertion violated credited_once' safety -DBREAK_SETTLE_ONCE
    fails 'the same beside Python' 'assertion violated credited_once' \
        safety $world -DBREAK_SETTLE_ONCE
    fails 'no sweeper, a forgetful broker' "$cycle" \
        liveness $one -DFLUSH -DSWEEPER -DTROUBLE=1 -DBREAK_NO_SWEEPER
    fails 'no sweeper, Python beside us' "$cycle" \
        liveness $one -DPYTHON -DSWEEPER -DTROUBLE=1 -DBREAK_NO_SWEEPER
    fails "nobody restores a killed worker's claims" "$cycle" \
        liveness $one -DTROUBLE=1 -DBREAK_NO_RESTORE
}
exit $failed
