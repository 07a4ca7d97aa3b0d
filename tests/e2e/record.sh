#!/usr/bin/env bash
# A topic recorded and replayed. Clicks are written to a broker by our own producer (and by kcat, where it is there, one that
# is no text), the pipeline click-sessions runs over them, and the topic is recorded. The recording holds each record as any reader sees
# it; a test that replays it gives the rows that the run gave, by the source's id and by a transform's. Parts of the topic are recorded by
# partition, offset, time and number; what is wrong with a recording is told with its line. N clicks, SEED; MILLSTREAM names the
# program. BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
n="${N:-2000}" seed="${SEED:-1}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker"
    pids+=("$broker_pid")
fi
ms() { "$millstream" "$@" --bootstrap "$broker" 2>> "$work/ms.err"; }
python3 - "$n" "$seed" > "$work/clicks" <<'PY'
import json, random, sys
n, rng = int(sys.argv[1]), random.Random(int(sys.argv[2]))
for i in range(n):
    user = f"u{rng.randrange(40)}"
    at = 1_767_261_600_000 + i * 20_000 - rng.randrange(2_000)
    row = {"user_id": user, "country": rng.choice(["IN", "DE", "BR"]), "at": at, "page": rng.choice(["/", "/é", "${env:HOME}"])}
    print(user + "\t" + json.dumps(row, ensure_ascii=False))
PY
ms topic create clicks --partitions 4 > "$work/create.log"
half=$((n / 2))
head -n "$half" "$work/clicks" | ms produce clicks --key-separator $'\t' --header from=first > "$work/produce.log" || fail "producing"
tail -n +$((half + 1)) "$work/clicks" | ms produce clicks --key-separator $'\t' > "$work/produce.log" || fail "producing"
printf 'u1\tNIL\n' | ms produce clicks --key-separator $'\t' --null NIL > "$work/produce.log" || fail "producing"
if command -v kcat > /dev/null; then
    printf 'a\377\000b' > "$work/binary"
    timeout 120 kcat -b "$broker" -t clicks -p 3 -P -k u2 -H "trace=$(printf '\377')" "$work/binary" || fail "kcat"
else
    echo "kcat is not there: no record of other bytes than text" >> "${SKIPPED:-/dev/null}"
fi
fixtures="$work/fixtures"
mkdir "$fixtures"
ms record clicks > "$fixtures/clicks.jsonl" || fail "recording"
ms consume clicks --from beginning --until-end --format json > "$work/consumed" || fail "consuming"
# Parts: two partitions; between two offsets; between two times; so many.
middle=$(python3 -c 'import json, sys; print(sorted(json.loads(line)["timestamp"] for line in open(sys.argv[1]))[int(sys.argv[2]) // 2])' "$fixtures/clicks.jsonl" "$n")
iso=$(python3 -c 'import datetime, sys; print(datetime.datetime.fromtimestamp(int(sys.argv[1]) / 1000, datetime.UTC).isoformat(timespec="milliseconds"))' "$middle")
ms record clicks --partitions 1,3 > "$work/partitions" || fail "recording partitions"
ms record clicks --from 3 --to 10 > "$work/offsets" || fail "recording offsets"
ms record clicks --to "$iso" > "$work/before" || fail "recording up to a time"
ms record clicks --from "$iso" > "$work/since" || fail "recording from a time on"
ms record clicks --max-records 17 > "$work/some" || fail "recording some"
ms record clicks --partitions 4 > /dev/null && fail "a partition that is not there was recorded"
python3 - "$work" "$middle" <<'PY' || fail "what was recorded"
import base64, json, sys
work, middle = sys.argv[1], int(sys.argv[2])
def held(text):
    if isinstance(text, dict):
        return base64.b64decode(text["base64"]) if "base64" in text else bytes.fromhex(text["hex"])
    return text if text is None else text.encode()
def lines(name):
    found = {}
    for line in open(f"{work}/{name}", encoding="utf-8"):
        r = json.loads(line)
        place = r["partition"], r["offset"]
        assert place not in found, f"{name}: {place} is there twice"
        found[place] = r["timestamp"], held(r["key"]), held(r["value"]), [(held(k), held(v)) for k, v in r["headers"]]
    return found
wanted, all = lines("consumed"), lines("fixtures/clicks.jsonl")
assert all == wanted, "the recording is not what a reader sees"
assert any(value is None for _, _, value, _ in all.values()), "no tombstone"
def part(name, keep):
    found = lines(name)
    assert found == {place: r for place, r in all.items() if keep(*place)}, f"{name}: {len(found)} records"
part("partitions", lambda p, o: p in (1, 3))
part("offsets", lambda p, o: 3 <= o < 10)
# As topics are searched by time: in each partition from the first record of the time or later on.
first = {p: min([o for (q, o), r in all.items() if q == p and r[0] >= middle], default=1 << 60) for p in range(4)}
part("before", lambda p, o: o < first[p])
part("since", lambda p, o: o >= first[p])
some = lines("some")
assert len(some) == 17 and all | some == all, "17 records of the topic"
PY
# What the pipeline gives, as it runs over the topic.
BROKER="$broker" "$millstream" run pipelines/examples/click-sessions/pipeline.yaml --data "$work/data" --set sources.clicks.until=end \
    > "$work/run.log" 2> "$work/run.err" || fail "the run"
ms consume hourly --from beginning --until-end --isolation read_committed > "$work/hourly" || fail "reading the result"
ms record visits > "$fixtures/visits.jsonl" || fail "recording a topic of transactions"
rows=$(wc -l < "$work/hourly")
letters=$(ms consume click-sessions-dead_letters --from beginning --until-end --isolation read_committed --format json | wc -l)
[ "$rows" -gt 10 ] || fail "only $rows rows came; take a larger N"
python3 - "$work" pipelines/examples/click-sessions/pipeline.yaml "$letters" <<'PY'
import sys
work, example, letters = sys.argv[1:]
text = open(example, encoding="utf-8").read().split("\ntests:\n")[0]
hourly = open(f"{work}/hourly", encoding="utf-8").read().splitlines()
rows = "      hourly:\n        rows:\n" + "".join(f"          - {row}\n" for row in hourly)
open(f"{work}/pipeline.yaml", "w", encoding="utf-8").write(text + f"""
tests:
  - name: by the source
    inputs: {{ clicks: {{ recording: fixtures/clicks.jsonl }} }}
    expect:
      dead_letters: {{ count: {letters} }}
{rows}  - name: by the transform between the queries
    inputs: {{ visits: {{ recording: fixtures/visits.jsonl }} }}
    expect:
{rows}  - name: nothing of it
    inputs: {{ clicks: {{ recording: fixtures/clicks.jsonl, limit: 0 }} }}
    expect: {{ hourly: {{ count: 0 }}, dead_letters: {{ count: 0 }} }}
  - name: a crash on the way leaves one copy
    inputs: {{ clicks: {{ recording: fixtures/clicks.jsonl }} }}
    scenario: {{ fail_at: sessions.before_commit }}
    expect: {{ hourly: {{ count: {len(hourly)} }} }}
""")
PY
"$millstream" test "$work/pipeline.yaml" > "$work/test.log" 2>&1 || fail "the tests that replay the recordings"
# A line that is cut, and one of a partition that the topic does not have.
sed -i '2s/.....$//' "$fixtures/clicks.jsonl"
"$millstream" test "$work/pipeline.yaml" > "$work/cut.log" 2>&1 && fail "a recording with a cut line was taken"
grep -q 'fixtures/clicks.jsonl:2:.*error\[MS0709\]' "$work/cut.log" || fail "the cut line is not told"
sed -i 2d "$fixtures/clicks.jsonl"
"$millstream" test "$work/pipeline.yaml" --set topics.visits.partitions=1 > "$work/beyond.log" 2>&1 && fail "a partition that is not there was taken"
grep -q 'fixtures/visits.jsonl:.*error\[MS0709\]: the record is of partition' "$work/beyond.log" || fail "the partition is not told"
echo "$n clicks recorded and replayed: $rows rows and $letters dead letters as the run gave them"
