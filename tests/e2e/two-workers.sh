#!/usr/bin/env bash
# store-invoices by two worker processes on one broker; one is killed with SIGKILL in the middle. In the first round it
# stays dead and the other takes over; in the next rounds it comes back; in the last one it dies within a commit and stays dead, and the
# other ends what it left open. Each round is held against a recount.
# N invoices, ROUNDS, SEED; MILLSTREAM and COUNT_ROWS name the programs. BROKER=host:port is another cluster (Apache Kafka),
# fresh for each call, with ROUNDS=1, or 0 for the last round only, and a consumer session time-out of a few seconds.
. "$(dirname "$0")/lib.sh"
n="${N:-40000}" rounds="${ROUNDS:-3}" RANDOM="${SEED:-1}" last=commit
[ -z "${BROKER:-}" ] || [ "$rounds" = 0 ] || last=
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
"$millstream" generate invoices --n "$n" --seed "${SEED:-1}" --dir "$work/input" > /dev/null
export INVOICES_DIR="$work/input"
worker() { # NAME: starts a worker of the round
    LAKE_URL="$out/lake" WAREHOUSE_DSN="sqlite:$out/warehouse.db" BROKER="$broker" \
        "$millstream" run $pipeline --data "$out/$1" --instance "$1" \
        --set defaults.commit_interval=100ms \
        --set defaults.snapshot_after=1KiB --set defaults.trim_interval=100ms >> "$out/$1.log" 2>> "$out/$1.err" &
    pids+=($!)
}
fail() { echo "FAIL: $1"; tail -n 20 "$out"/*.log "$out"/*.err; exit 1; }
for round in $(seq "$rounds") $last; do
    out="$work/$round"
    mkdir "$out"
    broker="${BROKER:-}"
    if [ -z "$broker" ]; then
        start_broker "$out/broker" --set group.consumer.session.timeout.ms=3000 \
            --set group.consumer.heartbeat.interval.ms=500
        pids+=("$broker_pid")
    fi
    [ "$round" = commit ] && export MILLSTREAM_FAIL_AT=published.before_commit:3
    worker a
    unset MILLSTREAM_FAIL_AT
    a="${pids[-1]}"
    worker b
    b="${pids[-1]}"
    if [ "$round" != commit ]; then
        # Both at work: the first rows are in the topic of invoices.
        until [ -e "$out/warehouse.db" ]; do
            kill -0 "$a" 2> /dev/null || fail "a worker did not begin"
            kill -0 "$b" 2> /dev/null || fail "a worker did not begin"
            pause 0.05
        done
        pause "$(awk -v r="$RANDOM" 'BEGIN { print 0.2 + r / 32768 * 2 }')"
        kill -0 "$a" 2> /dev/null || fail "the worker was done before it was killed; take a larger N"
        kill -9 "$a" 2> /dev/null || true
    fi
    wait "$a" 2> /dev/null || true
    if [ "$round" = commit ]; then
        grep -q "stopped at published.before_commit" "$out/a.err" || fail "the worker was done before it died; take a larger N"
    elif [ "$round" -gt 1 ]; then
        worker a
        wait "${pids[-1]}" || fail "the worker that came back failed"
    fi
    wait "$b" || fail "the other worker failed"
    cp "$out/b.log" "$out/run.log"
    reconcile "$work/input" "$out" "$broker" > "$out/reconcile.log" 2>&1 ||
        { cat "$out/reconcile.log"; fail "round $round"; }
    # Workers that are hours apart make no row late: those are as few as with one worker.
    late=$(sed -n 's/.*late by count: //p' "$out/reconcile.log")
    [ "$late" -le $((n / 500)) ] || { cat "$out/reconcile.log"; fail "$late of $n rows were late"; }
    case "$round" in
        1) what="one of two workers killed and gone" ;;
        # The broker may have been quicker.
        commit) what="one of two workers dead in a commit, ended by the other: $(grep -c "what it left open" "$out/b.err" || true)" ;;
        *) what="one of two workers killed and back" ;;
    esac
    echo "$what: $(grep '^recount' "$out/reconcile.log")"
    if [ -z "${BROKER:-}" ]; then kill -TERM "${pids[0]}" && wait "${pids[0]}" || fail "the broker's stop"; fi
    pids=()
done
echo "two workers test passed"
