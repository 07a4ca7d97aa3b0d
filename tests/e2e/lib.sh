# Sourced by the end-to-end tests: the programs that they try, a broker, waiting. Never enters: what a test expects.
# MILLSTREAM and COUNT_ROWS name the programs; without them those of the dev profile are built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target="${CARGO_TARGET_DIR:-target}"
if [ -z "${MILLSTREAM:-}" ]; then
    # One call for all, so that features, and with them the builds of dependencies, are the same.
    cargo build --quiet -p millstream -p millstream-object-store --bins --example count_rows
fi
millstream="${MILLSTREAM:-$target/debug/millstream}" count_rows="${COUNT_ROWS:-$target/debug/examples/count_rows}"
pipeline=pipelines/examples/store-invoices/pipeline.yaml

# Waits some seconds; for a loop that waits for a condition.
pause() { read -r -t "$1" <> <(:) || true; }

# kill_again PID KILLS COMMAND...: kills a process with SIGKILL at random times (RANDOM, seeded by the caller) and starts it again by
# the command, which puts it last into `pids`; so many times, or until it has ended by itself. Sets `pid` to the last of them, and adds
# to `killed`.
kill_again() {
    local kills="$2"
    pid="$1"
    shift 2
    for _ in $(seq "$kills"); do
        pause "$(awk -v r="$RANDOM" 'BEGIN { print 0.05 + r / 32768 }')"
        kill -0 "$pid" 2> /dev/null || break
        kill -9 "$pid" && killed=$((killed + 1))
        wait "$pid" 2> /dev/null || true
        "$@"
        pid="${pids[-1]}"
    done
}

# start_broker FOLDER [ARGUMENT...]: a broker with its data in FOLDER, which is made. Sets `broker` to its address and
# `broker_pid`.
start_broker() {
    local folder="$1"
    shift
    mkdir -p "$folder"
    "$millstream" broker --listen 127.0.0.1:0 --data "$folder/data" "$@" > "$folder/out" 2> "$folder/err" &
    broker_pid=$!
    # The broker's own word, not a time: it prints its address when it serves.
    until grep -qs '^ready ' "$folder/out"; do
        kill -0 "$broker_pid" 2> /dev/null || { cat "$folder/err"; echo "FAIL: the broker did not start"; return 1; }
        pause 0.05
    done
    broker=$(sed -n 's/^ready //p' "$folder/out")
}

# reconcile INPUT OUT [BROKER]: holds what a run left in OUT against a recount of the input.
reconcile() {
    MILLSTREAM="$millstream" bash tests/e2e/store-invoices/reconcile.sh "$1" "$2" "$count_rows" "${@:3}"
}
