#!/bin/bash
# run.sh HOST:PORT [NAME...] : drives stock Kafka clients against a broker, and prints what each of them sees. The lines
# are the same for Apache Kafka and for Millstream; `diff` of two runs is the test. What a client needs is fetched by
# mvn, pip and go into the user's own caches; a client whose tool is missing is skipped aloud (with REQUIRE_ALL=1 that
# is a failure, but for Go). NAME: java, kcat, kafka-python, confluent-kafka, aiokafka, franz-go; without any, all of them.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
bootstrap="${1:?usage: run.sh HOST:PORT [NAME...]}"; shift
wanted="${*:-java kcat kafka-python confluent-kafka aiokafka franz-go}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/millstream-stock-clients"; mkdir -p "$cache"
work="$(mktemp -d)"; trap 'rm -rf "$work"' EXIT
id="s$$"   # topics and groups of this run; taken out of what is printed
failed=0

say() { sed -e "s/$id/RUN/g"; }
line() { printf '%s\n' "$*" | say; }
# expect NAME WANTED GOT
expect() {
  if [ "$2" == "$3" ]; then line "ok   $1"; else line "FAIL $1: wanted [$2], got [${3:0:600}]"; failed=1; fi
}
absent() { line "skip $1: $2"; [ -z "${SKIPPED:-}" ] || echo "stock client $1: $2" >> "$SKIPPED"; }
skip() { absent "$@"; [ -z "${REQUIRE_ALL:-}" ] || failed=1; }
has() { command -v "$1" >/dev/null 2>&1; }

java_clients() {
  has java && has mvn || { skip java "java or mvn is missing"; return; }
  local jars="${STOCK_CLIENTS_JARS:-$cache/jars-4.3.1}"
  bash jars.sh "$jars" >"$work/mvn" 2>&1 || { skip java "mvn cannot fetch Kafka's jars: $(tail -1 "$work/mvn")"; return; }
  tool() { timeout 120 java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile=log4j2.xml -cp "$jars/*" "$@" 2>"$work/err"; }
  local T="org.apache.kafka.tools" B="--bootstrap-server $bootstrap" t="$id-java" g="$id-group" codec protocol out

  expect "TopicCommand --create" "Created topic $t." "$(tool $T.TopicCommand $B --create --topic $t --partitions 3 --config retention.ms=86400000)"
  out="$(tool $T.TopicCommand $B --describe --topic $t | head -1 | tr -s '\t ' ' ' | sed -e 's/TopicId: [^ ]* //' -e 's/segment.bytes=[0-9]*,*//' -e 's/,*flush.mode=[a-z_]*//' -e 's/,*file.delete.delay.ms=[0-9]*//' -e 's/min.insync.replicas=1,*//')"
  expect "TopicCommand --describe" "Topic: $t PartitionCount: 3 ReplicationFactor: 1 Configs: retention.ms=86400000" "$(echo "$out" | sed -e 's/ *$//' -e 's/,$//')"
  for codec in none gzip snappy lz4 zstd; do
    seq -f "$codec-%03g" 1 20 | tool $T.ConsoleProducer $B --topic $t --compression-codec $codec >/dev/null
  done
  out="$(tool $T.GetOffsetShell $B --topic $t --time -1 | awk -F: '{s += $3} END {print NR, s}')"
  expect "ConsoleProducer with every codec, GetOffsetShell" "3 100" "$out"
  for protocol in classic consumer; do
    out="$(tool $T.consumer.ConsoleConsumer $B --topic $t --group $g-$protocol --from-beginning --max-messages 100 --timeout-ms 30000 --command-property group.protocol=$protocol | sort | md5sum)"
    expect "ConsoleConsumer, $protocol protocol" "$(for codec in none gzip snappy lz4 zstd; do seq -f "$codec-%03g" 1 20; done | sort | md5sum)" "$out"
  done
  out="$(tool $T.consumer.group.ConsumerGroupCommand $B --list | grep -c "^$g-")"
  expect "ConsumerGroupCommand --list" 2 "$out"
  out="$(tool $T.consumer.group.ConsumerGroupCommand $B --describe --group $g-classic | awk -v t="$t" '$2 == t {n++; lag += $6; end += $5} END {print n, end, lag}')"
  expect "ConsumerGroupCommand --describe" "3 100 0" "$out"
  out="$(tool $T.consumer.group.ConsumerGroupCommand $B --group $g-classic --topic $t --reset-offsets --to-earliest --execute | awk -v t="$t" '$2 == t {n++; s += $4} END {print n, s}')"
  expect "ConsumerGroupCommand --reset-offsets" "3 0" "$out"
  out="$(tool $T.consumer.group.ConsumerGroupCommand $B --describe --group $g-classic | awk -v t="$t" '$2 == t {lag += $6} END {print lag}')"
  expect "ConsumerGroupCommand lag after the reset" 100 "$out"
  out="$(tool $T.consumer.group.ConsumerGroupCommand $B --delete-offsets --group $g-consumer --topic $t | grep -c Successful)"
  expect "ConsumerGroupCommand --delete-offsets" 3 "$out"
  out="$(tool $T.consumer.group.ConsumerGroupCommand $B --delete --group $g-classic)"
  expect "ConsumerGroupCommand --delete" "Deletion of requested consumer groups ('$g-classic') was successful." "$out"

  out="$(tool kafka.admin.ConfigCommand $B --entity-type topics --entity-name $t --alter --add-config max.message.bytes=2000000)"
  expect "ConfigCommand --alter" "Completed updating config for topic $t." "$out"
  out="$(tool kafka.admin.ConfigCommand $B --entity-type topics --entity-name $t --describe | grep -o 'max.message.bytes=2000000 sensitive=false' | head -1)"
  expect "ConfigCommand --describe" "max.message.bytes=2000000 sensitive=false" "$out"
  expect "TopicCommand --alter" "" "$(tool $T.TopicCommand $B --alter --topic $t --partitions 5)"
  printf '{"version":1,"partitions":[{"topic":"%s","partition":0,"offset":-1}]}' $t >"$work/delete.json"
  out="$(tool $T.DeleteRecordsCommand $B --offset-json-file "$work/delete.json" | grep -c "partition: $t-0.low_watermark")"
  expect "DeleteRecordsCommand" 1 "$out"
  # The first partition may have got nothing: it begins where it ends, wherever that is.
  out="$(for at in -2 -1; do tool $T.GetOffsetShell $B --topic $t --time $at | awk -F: '$2 == 0 {print $3}'; done | uniq | wc -l)"
  expect "GetOffsetShell after it" 1 "$out"
  out="$(tool $T.VerifiableProducer $B --topic $t --max-messages 200 --acks -1 | grep -o '"acked":200')"
  expect "VerifiableProducer" '"acked":200' "$out"
  out="$(tool $T.VerifiableConsumer $B --topic $t --group-id $g-v --max-messages 200 --reset-policy earliest | grep -c offsets_committed)"
  expect "VerifiableConsumer commits" yes "$([ "${out:-0}" -gt 0 ] && echo yes)"

  # Transactions, by a program of our own.
  local in="$id-in" to="$id-out"
  tool $T.TopicCommand $B --create --topic $in --partitions 2 >/dev/null
  for protocol in classic consumer; do tool $T.TopicCommand $B --create --topic $to-$protocol --partitions 2 >/dev/null; done
  seq -f "v%03g" 1 100 | tool $T.ConsoleProducer $B --topic $in >/dev/null
  if javac -d "$work" -cp "$jars/*" Transactions.java 2>"$work/err"; then
    out="$(timeout 120 java -Xmx256m -XX:+UseSerialGC -Dlog4j2.configurationFile=log4j2.xml -cp "$work:$jars/*" Transactions $bootstrap $in $to 2>"$work/err")"
    for protocol in classic consumer; do
      expect "transactions, $protocol protocol" "$protocol copied 100
$protocol the first producer is fenced
$protocol read 101, distinct 101, zombie false, last true" "$(grep "^$protocol" <<<"$out")"
    done
    out="$(tool $T.TransactionsCommand $B list | awk -v t="$to-consumer" '$1 == t {print $4}')"
    expect "TransactionsCommand list" CompleteCommit "$out"
    out="$(tool $T.TransactionsCommand $B describe --transactional-id $to-consumer | awk -v t="$to-consumer" '$2 == t {print $5}')"
    expect "TransactionsCommand describe" CompleteCommit "$out"
    # One of them may have got nothing.
    out="$(for p in 0 1; do tool $T.TransactionsCommand $B describe-producers --topic $to-consumer --partition $p | awk 'NR > 1'; done | wc -l)"
    expect "TransactionsCommand describe-producers" yes "$([ "$out" -ge 1 ] && echo yes)"
  else
    line "FAIL transactions: $(head -1 "$work/err")"; failed=1
  fi
  out="$(tool $T.BrokerApiVersionsCommand $B | grep -c 'Produce(0)')"
  expect "BrokerApiVersionsCommand" 1 "$out"
  out="$(tool $T.ClusterTool cluster-id $B | cut -d: -f1)"
  expect "ClusterTool cluster-id" "Cluster ID" "$out"
  expect "TopicCommand --delete" "" "$(tool $T.TopicCommand $B --delete --topic $t)"
  expect "TopicCommand --list" 0 "$(tool $T.TopicCommand $B --list | grep -cx "$t")"
}

kcat_client() {
  has kcat || { skip kcat "kcat is missing (Debian: kcat)"; return; }
  local t="$id-kcat" codec out
  for codec in none gzip snappy lz4 zstd; do
    seq -f "$codec-%03g" 1 20 | timeout 60 kcat -q -P -b $bootstrap -t $t -z $codec -X topic.metadata.refresh.fast.interval.ms=50 2>/dev/null \
      || line "FAIL kcat -P -z $codec"
  done
  out="$(timeout 60 kcat -q -C -b $bootstrap -t $t -o beginning -e 2>/dev/null | sort | md5sum)"
  expect "kcat -C" "$(for codec in none gzip snappy lz4 zstd; do seq -f "$codec-%03g" 1 20; done | sort | md5sum)" "$out"
  out="$(timeout 60 kcat -q -b $bootstrap -G $id-kcat-group -X auto.offset.reset=earliest -c 100 $t 2>/dev/null | wc -l)"
  expect "kcat -G" 100 "$out"
  expect "kcat -L" 1 "$(timeout 60 kcat -L -b $bootstrap -t $t 2>/dev/null | grep -c "topic \"$t\" with 1 partitions")"
  expect "kcat -Q" "$t [0] offset 100" "$(timeout 60 kcat -Q -b $bootstrap -t $t:0:-1 2>/dev/null)"
}

topics_for_python() {  # by whatever there is: the broker makes topics that are asked for
  local t
  for t in "$@"; do has kcat && timeout 30 kcat -q -L -b $bootstrap -t $t -X allow.auto.create.topics=true >/dev/null 2>&1; done
}

python_client() {
  local name="$1" out t="$id-$1"
  has python3 || { skip "$name" "python3 is missing"; return; }
  local venv="$cache/python"
  if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/pip" -q show "$name" >/dev/null 2>&1; then
    { python3 -m venv "$venv" && "$venv/bin/pip" -q install -r requirements.txt; } >"$work/pip" 2>&1 \
      || { skip "$name" "pip cannot install it: $(tail -1 "$work/pip")"; return; }
  fi
  topics_for_python "$t" "$t-txn"
  out="$(timeout 150 "$venv/bin/python" clients.py "$name" $bootstrap "$t" 2>"$work/err")" || out="$out
$(grep -v TERMINATE "$work/err" | tail -3)"
  case "$name" in
    confluent-kafka) expect "$name" "classic confluent-kafka read 100 of 100 same: True
consumer confluent-kafka read 100 of 100 same: True
confluent-kafka read_committed ['kept True']
confluent-kafka position 7
confluent-kafka read_uncommitted ['kept False', 'kept True']
confluent-kafka lists the topic True
confluent-kafka cleanup.policy delete
confluent-kafka groups ['-classic', '-consumer', '-txn']" "$out" ;;
    *) expect "$name" "$name read 100 of 100 same: True" "$out" ;;
  esac
}

go_client() {
  # Debian's Go is older than what the client wants, so that a machine may well have none.
  has go && go version | grep -qE 'go(1\.(2[1-9]|[3-9][0-9])|[2-9])' || { absent franz-go "go is missing, or older than 1.21"; return; }
  (cd go && GOFLAGS=-mod=mod go build -o "$cache/franz" .) >"$work/go" 2>&1 || { skip franz-go "go cannot build it: $(tail -1 "$work/go")"; return; }
  topics_for_python $id-go $id-go-out
  out="$(timeout 90 "$cache/franz" $bootstrap $id-go $id-go-out 2>&1)"
  expect franz-go "produced 100
copied 100 aborted once: true
read 100 repeats 0 first gzip-00 last zstd-19" "$out"
}

for name in $wanted; do
  case "$name" in
    java) java_clients ;;
    kcat) kcat_client ;;
    kafka-python | confluent-kafka | aiokafka) python_client "$name" ;;
    franz-go) go_client ;;
    *) line "FAIL $name: no such client"; failed=1 ;;
  esac
done
exit $failed
