#!/usr/bin/env bash
# order-notices against real HTTP servers. They are not there at first; then they fail each request some times: with 5xx, with 429 and a
# time to wait, by taking it and giving no answer; and they refuse some addresses for ever. Meanwhile the pipeline is killed with SIGKILL. Shown, against
# a recount: each notice is taken, with its body and the same key each time that it was sent; none is taken twice by a server that looks
# at keys; each refused one is in the dead letters, with its body and the answer. Where nothing is killed (KILLS=0), only requests whose answer was
# lost come again. N orders, KILLS, SEED; MILLSTREAM names the program.
. "$(dirname "$0")/lib.sh"
n="${N:-600}" seed="${SEED:-1}" kills="${KILLS:-2}"
example=pipelines/examples/order-notices/pipeline.yaml
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
pids+=("$broker_pid")
python3 - "$n" "$seed" "$work" <<'PY'
import json, random, sys
n, seed, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
people = {}
with open(f"{work}/customers", "w") as out:
    for i in range(200):
        row = {"customer_id": f"c{i}", "name": f"Näme {i}"}
        if rng.random() < 0.8:
            row["email"] = rng.choice(["nobody", "some"]) * (i % 10 == 0) + f"c{i}@example.com"
        if rng.random() < 0.4:
            row["phone"] = f"+49{i}"
        people[row["customer_id"]] = row
        out.write(row["customer_id"] + "\t" + json.dumps(row, ensure_ascii=False) + "\n")
wanted = {"mail": {}, "sms": {}}
unreachable = refused = 0
with open(f"{work}/orders", "w") as out:
    for i in range(n):
        order, customer = f"o/{i}", f"c{rng.randrange(210)}"
        for status in ["placed", rng.choice(["shipped", "cancelled"]), "delivered"][: rng.randrange(1, 4)]:
            row = {"order_id": order, "customer_id": customer, "status": status, "at": 1_767_261_600_000 + i}
            out.write(f"{order}\t" + json.dumps(row) + "\n")
            if status == "placed":
                continue
            person = people.get(customer, {})
            key = f"o%2F{i}/{status}"
            if "email" in person:
                text = f"Dear {person['name']}, your order {order} is {status}."
                to = {"email": person["email"], "name": person["name"]}
                wanted["mail"][key] = {"order_id": order, "status": status, "to": to, "subject": f"Your order {order} is {status}", "text": text}
            if "phone" in person and status != "delivered":
                wanted["sms"][key] = {"order_id": order, "status": status, "to": person["phone"], "text": f"Order {order} is {status}"}
            unreachable += "email" not in person and "phone" not in person
json.dump({"wanted": wanted, "unreachable": unreachable}, open(f"{work}/wanted.json", "w"))
PY
for topic in customers orders; do
    compact=(); [ "$topic" = orders ] || compact=(--config cleanup.policy=compact)
    "$millstream" topic create "$topic" --bootstrap "$broker" --partitions 4 "${compact[@]}" > "$work/create.log"
    "$millstream" produce "$topic" --bootstrap "$broker" --key-separator $'\t' --file "$work/$topic" > "$work/produce.log" || fail "producing $topic"
done
mkfifo "$work/hold"
exec 9<> "$work/hold"
# Ports where nobody listens yet.
read -r mail sms < <(python3 -c '
import random, socket
found = []
while len(found) < 2:
    port = random.randrange(20000, 32000)
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            continue
    found.append(port)
print(*found)')
worker() {
    BROKER="$broker" MAIL_URL="http://127.0.0.1:$mail/v1/messages" MAIL_TOKEN=hunter2 SMS_URL="http://127.0.0.1:$sms/sms" \
        "$millstream" run $example --data "$work/data" --set sources.orders.until=end --set defaults.commit_interval=50ms \
        --set errors.transient.backoff.max=1s --set sinks.mail.timeout=20s >> "$work/run.log" 2>> "$work/run.err" &
    pids+=($!)
}
touch "$work/requests"
taken() { grep -c '"verdict": 200' "$work/requests" || true; }
worker
until grep -q 'error sending request' "$work/run.err"; do
    kill -0 "${pids[-1]}" 2> /dev/null || fail "the worker ended while the servers were not there"
    pause 0.1
done
python3 tests/e2e/notices_server.py "$work/requests" "$seed" "$mail" "$sms" < "$work/hold" > "$work/server.log" 2> "$work/server.err" &
server=$!
worker_pid="${pids[-1]}"
pids+=("$server")
killed=0
while [ "$killed" -lt "$kills" ]; do
    tries=0
    until [ "$(taken)" -ge $((n * (killed + 1) / (kills + 2))) ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 1200 ] || fail "only $(taken) requests were taken in two minutes"
        kill -0 "$worker_pid" 2> /dev/null || fail "the worker ended before kill $((killed + 1)); take a larger N"
        pause 0.1
    done
    kill -9 "$worker_pid"
    wait "$worker_pid" 2> /dev/null || true
    killed=$((killed + 1))
    worker
    worker_pid="${pids[-1]}"
done
wait "$worker_pid" || fail "the worker"
# Where it goes on is kept by its group: another one finds nothing left to send.
sent=$(wc -l < "$work/requests")
worker
wait "${pids[-1]}" || fail "the worker that begins when all is sent"
[ "$(wc -l < "$work/requests")" = "$sent" ] || fail "a worker that began when all was sent has sent some again"
for topic in refused unreachable; do
    "$millstream" consume "$topic" --bootstrap "$broker" --from beginning --until-end --isolation read_committed --format json \
        > "$work/$topic" 2>> "$work/consume.err" || fail "reading $topic"
done
grep -q hunter2 "$work"/run.log "$work"/run.err "$work/refused" && fail "the token is shown"
python3 - "$work" "$killed" <<'PY' || fail "what was sent"
import collections, json, sys
work, killed = sys.argv[1:]
lines = lambda name: [json.loads(line) for line in open(f"{work}/{name}", encoding="utf-8")]
known = json.load(open(f"{work}/wanted.json"))
failed = False
def hold(what, found, wanted):
    global failed
    if found != wanted:
        print(f"FAIL: {what}: wanted {wanted}, found {found}"[:2000])
        failed = True
requests = lines("requests")
hold("paths, tokens and types", {(r["path"], r["token"], r["type"]) for r in requests},
     {("/v1/messages", "Bearer hunter2", "application/json"), ("/sms", None, "application/json")})
repeats = 0
for api, wanted in known["wanted"].items():
    refused = {key for key, body in wanted.items() if "nobody" in str(body["to"])}
    found, taken = {}, collections.Counter()
    for r in requests:
        if r["api"] == api:
            hold(f"the body of {r['key']}, sent again", r["body"], found.setdefault(r["key"], r["body"]))
            taken[r["key"]] += r["verdict"] in (200, "lost")
    hold(f"{api}: notices", {k: v for k, v in found.items()}, wanted)
    hold(f"{api}: taken", {key for key, times in taken.items() if times}, set(wanted) - refused)
    hold(f"{api}: the last word on what is not refused", {r["verdict"] for r in {r["key"]: r for r in requests if r["api"] == api and r["key"] not in refused}.values()}, {200})
    repeats += sum(times - 1 for times in taken.values() if times)
    letters = [r for r in lines("refused") if dict(r["headers"])["millstream.step"] == api]
    # At least once: a death between a letter and the commit behind it sends it again.
    hold(f"{api}: refused", {json.loads(r["value"])["order_id"] + "/" + json.loads(r["value"])["status"] for r in letters},
         {wanted[key]["order_id"] + "/" + wanted[key]["status"] for key in refused})
    for r in letters:
        head = dict(r["headers"])
        hold("why a notice is refused", (head["millstream.reason"], head["millstream.error"]),
             ("sink_refused", '422 Unprocessable Entity: {"said": 422}'))
hold("unreachable", len(lines("unreachable")), known["unreachable"])
# Each partition's notices come in its order; so those of one order do.
for api in known["wanted"]:
    first = {}
    for place, r in enumerate(requests):
        if r["api"] == api and r["verdict"] in (200, "lost"):
            first.setdefault(r["key"], place)
    for key, place in first.items():
        order, status = key.rsplit("/", 1)
        if status == "delivered":
            before = [first[k] for k in (f"{order}/shipped", f"{order}/cancelled") if k in first]
            hold(f"{key} behind what was before it", [b < place for b in before], [True] * len(before))
if killed == "0":
    hold("repeats without a death", repeats, sum(r["verdict"] == "lost" for r in requests))
if failed:
    sys.exit(1)
ways = collections.Counter(r["verdict"] for r in requests)
sent = sum(len(wanted) for wanted in known["wanted"].values())
print(f"{sent} notices, {len(requests)} requests, {killed} kills; answers {dict(ways)}; {repeats} came again after they were taken, each with its key")
PY
