#!/usr/bin/env bash
# What also has to hold on Apache Kafka: the client's tests, and store-invoices, click-sessions and reorder-proposals by two
# workers of which one is killed. The broker comes from Maven Central into the user's cache, runs on a free port with its data in a folder that goes
# afterwards, and is fresh for each part. N invoices; MILLSTREAM and COUNT_ROWS name the programs.
. "$(dirname "$0")/lib.sh"
left_out() {
    echo "SKIPPED: Apache Kafka: $1"
    [ -z "${SKIPPED:-}" ] || echo "Apache Kafka: $1" >> "$SKIPPED"
    [ -z "${REQUIRE_ALL:-}" ]
    exit
}
command -v java > /dev/null && command -v mvn > /dev/null || left_out "java or mvn is missing"
# The same that the stock clients of Java are in.
jars="${STOCK_CLIENTS_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream-stock-clients/jars-4.3.1}"
work="$(mktemp -d)"
kafka=''
trap 'set +e; [ -z "$kafka" ] || kill -9 "$kafka"; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
bash tests/clients/jars.sh "$jars" > "$work/mvn" 2>&1 || left_out "mvn cannot fetch it: $(tail -1 "$work/mvn")"
tool() { java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile=tests/clients/log4j2.xml -cp "$jars/*" "$@"; }

# start_kafka: a new broker; sets `broker` and `kafka`.
start_kafka() {
    local ports
    ports=$(python3 -c '
import socket
two = [socket.socket() for _ in range(2)]
for one in two:
    one.bind(("127.0.0.1", 0))
print(*[one.getsockname()[1] for one in two])')
    broker="127.0.0.1:${ports% *}"
    rm -rf "$work/data"
    cat > "$work/server.properties" <<X
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${ports#* }
listeners=PLAINTEXT://$broker,CONTROLLER://127.0.0.1:${ports#* }
advertised.listeners=PLAINTEXT://$broker
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$work/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=8
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
group.consumer.min.session.timeout.ms=3000
group.consumer.session.timeout.ms=5000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=500
auto.create.topics.enable=true
X
    tool kafka.tools.StorageTool format -t "$(tool kafka.tools.StorageTool random-uuid)" -c "$work/server.properties" > "$work/format" 2>&1 \
        || { cat "$work/format"; echo "FAIL: Apache Kafka cannot be set up"; exit 1; }
    java -Xmx1g -Dlog4j2.configurationFile=tests/clients/log4j2.xml -cp "$jars/*" kafka.Kafka "$work/server.properties" > "$work/kafka" 2>&1 &
    kafka=$!
    # It serves when it answers.
    local tries=0
    until "$millstream" topic list --bootstrap "$broker" > /dev/null 2>&1; do
        tries=$((tries + 1))
        kill -0 "$kafka" 2> /dev/null && [ "$tries" -lt 300 ] || { tail -20 "$work/kafka"; echo "FAIL: Apache Kafka did not start"; exit 1; }
        pause 0.2
    done
}
stop_kafka() {
    kill -9 "$kafka"
    wait "$kafka" 2> /dev/null || true
    kafka=''
}

start_kafka
MILLSTREAM_TEST_BOOTSTRAP="$broker" bash tests/e2e/client.sh || { echo "FAIL: the client's tests"; exit 1; }
stop_kafka
start_kafka
BROKER="$broker" ROUNDS=1 N="${N:-40000}" MILLSTREAM="$millstream" COUNT_ROWS="$count_rows" bash tests/e2e/two-workers.sh \
    || { echo "FAIL: two workers"; exit 1; }
stop_kafka
start_kafka
BROKER="$broker" ROUNDS=0 N="${N:-40000}" MILLSTREAM="$millstream" COUNT_ROWS="$count_rows" bash tests/e2e/two-workers.sh \
    || { echo "FAIL: two workers, one dead in a commit"; exit 1; }
stop_kafka
start_kafka
BROKER="$broker" N=60000 KILLS=2 MILLSTREAM="$millstream" COUNT_ROWS="$count_rows" bash tests/e2e/topics.sh \
    || { echo "FAIL: topics to topics"; exit 1; }
stop_kafka
start_kafka
BROKER="$broker" N=200000 KILLS=2 MILLSTREAM="$millstream" COUNT_ROWS="$count_rows" bash tests/e2e/joins.sh \
    || { echo "FAIL: two topics joined"; exit 1; }
stop_kafka
start_kafka
BROKER="$broker" ROUNDS=2 MILLSTREAM="$millstream" COUNT_ROWS="$count_rows" bash tests/e2e/pauses.sh \
    || { echo "FAIL: a stream that pauses"; exit 1; }
stop_kafka
start_kafka
BROKER="$broker" N=5000 MILLSTREAM="$millstream" COUNT_ROWS="$count_rows" bash tests/e2e/tables.sh \
    || { echo "FAIL: tables that change"; exit 1; }
stop_kafka
start_kafka
BROKER="$broker" N=20000 KILLS=2 MILLSTREAM="$millstream" COUNT_ROWS="$count_rows" bash tests/e2e/upserts.sh \
    || { echo "FAIL: rows that are replaced and go"; exit 1; }
stop_kafka
start_kafka
BROKER="$broker" MILLSTREAM="$millstream" bash tests/e2e/backfill.sh || { echo "FAIL: edits that are filled"; exit 1; }
stop_kafka
start_kafka
BROKER="$broker" MILLSTREAM="$millstream" COUNT_ROWS="$count_rows" bash tests/e2e/savepoint.sh \
    || { echo "FAIL: savepoints"; exit 1; }
stop_kafka
start_kafka
BROKER="$broker" MILLSTREAM="$millstream" COUNT_ROWS="$count_rows" bash tests/e2e/snapshots.sh \
    || { echo "FAIL: snapshots in a store"; exit 1; }
stop_kafka
start_kafka
BROKER="$broker" N=10000 KILLS=1 MILLSTREAM="$millstream" COUNT_ROWS="$count_rows" bash tests/e2e/query.sh \
    || { echo "FAIL: what is kept, asked in SQL"; exit 1; }
stop_kafka
echo "apache kafka test passed: version 4.3.1"
