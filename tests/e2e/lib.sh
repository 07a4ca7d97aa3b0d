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

# make_topic NAME [ARGUMENT...]: a new topic. Kafka's brokers learn of one a little after the controller has confirmed it: it is there when
# its partitions are described, and are empty, which those of a topic of this name that was deleted just before are not.
make_topic() {
    local deadline=$((SECONDS + 60)) at="${broker:-${BROKER:-}}"
    "$millstream" topic create "$@" --bootstrap "$at" || return 1
    until "$millstream" topic describe "$1" --format json --bootstrap "$at" 2> /dev/null | grep -v '"end":-1' | grep -q '"end":0'; do
        [ $SECONDS -lt $deadline ] || { echo "FAIL: topic $1 was made and is not there a minute later" >&2; return 1; }
        pause 0.1
    done
}

# find_postgres WHAT: sets `pg_bin` to the folder of PostgreSQL's server; without one, WHAT is left out, which is said.
find_postgres() {
    pg_bin="${MILLSTREAM_PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -1 || true)}"
    [ -x "$pg_bin/postgres" ] && return
    echo "SKIPPED: PostgreSQL's server is not installed (apt-get install postgresql)"
    [ -z "${SKIPPED:-}" ] || echo "$1: no PostgreSQL" >> "$SKIPPED"
    [ -z "${REQUIRE_ALL:-}" ]
    exit
}

# make_postgres FOLDER: a server's data in FOLDER, and a free port for it in `pg_port`. start_postgres FOLDER: runs it, and sets `pg`
# to its process. sql TEXT asks it.
make_postgres() {
    pg_as=()
    if [ "$(id -u)" = 0 ]; then
        # The server refuses root.
        pg_as=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
        install -d -o postgres "$1"
    else
        mkdir "$1"
    fi
    pg_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    (cd "$1" && "${pg_as[@]}" "$pg_bin/initdb" -D data -U postgres -A trust -E UTF8 --no-sync --no-locale > initdb.log)
}
start_postgres() {
    (cd "$1" && exec "${pg_as[@]}" "$pg_bin/postgres" -D data -p "$pg_port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c fsync=off > "$1.log" 2>&1) &
    pg=$!
    until "$pg_bin/pg_isready" -q -h 127.0.0.1 -p "$pg_port" -U postgres; do
        kill -0 $pg 2> /dev/null || { cat "$1.log"; echo "FAIL: PostgreSQL did not start"; exit 1; }
        pause 0.1
    done
}
sql() { "$pg_bin/psql" -X -A -t -q -h 127.0.0.1 -p "$pg_port" -U postgres -c "$1" postgres; }

# reconcile INPUT OUT [BROKER]: holds what a run left in OUT against a recount of the input.
reconcile() {
    MILLSTREAM="$millstream" bash tests/e2e/store-invoices/reconcile.sh "$1" "$2" "$count_rows" "${@:3}"
}
