#!/usr/bin/env python3
"""Posts each line of files to an HTTP source, as one request with its own key, until each is answered.

    http_client.py URL ANSWERS FILE... [--every N] [--also KEYS]

A request whose connection broke, or that is answered 503, is sent again with the same key; any other answer is final and
becomes one line of ANSWERS: {"key", "status", "repeat", "tries", "body"}. `repeat` is the header Idempotent-Repeats. Lines
of a folder are posted one after the other, in the order of file names, so that of two invoices with one id the same one is
first as for a reader of the files; folders are posted at once. --every posts only each Nth line, --also those too whose
keys are in the file KEYS. Ends with 1 when not all are answered within --limit seconds.
"""
import argparse
import hashlib
import http.client
import json
import os
import sys
import threading
import time
import urllib.parse


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("url")
    arguments.add_argument("answers")
    arguments.add_argument("files", nargs="+")
    arguments.add_argument("--every", type=int, default=1)
    arguments.add_argument("--also", help="a file of keys, one a line")
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--limit", type=float, default=180)
    arguments = arguments.parse_args()
    url = urllib.parse.urlsplit(arguments.url)
    end = time.monotonic() + arguments.limit
    also = set()
    if arguments.also:
        with open(arguments.also, encoding="ascii") as keys:
            also = set(keys.read().split())

    folders = {}
    for path in sorted(arguments.files):
        folder = folders.setdefault(os.path.dirname(path), [])
        with open(path, "rb") as lines:
            for at, line in enumerate(lines):
                # The last two folders' names are the same wherever the files lie.
                name = "/".join(path.split(os.sep)[-3:])
                key = hashlib.sha256(f"{name}:{at}".encode()).hexdigest()[:32]
                folder.append((key, line.rstrip(b"\r\n")))
    # Each connection has some folders, and goes through them together: their times are near each other, as those of
    # shops that send when they sell.
    lanes = [[] for _ in range(arguments.connections)]
    for at, folder in enumerate(folders.values()):
        lanes[at % len(lanes)] += [(step, *line) for step, line in enumerate(folder)]
    lanes = [[(key, body) for _, key, body in sorted(lane, key=lambda one: one[0])] for lane in lanes]
    wanted = {key for lane in lanes for key, _ in lane}
    wanted = set(sorted(wanted)[:: arguments.every]) | (also & wanted)

    lock = threading.Lock()
    answered = 0
    answers = open(arguments.answers, "a", buffering=1, encoding="utf-8")

    def post(lane):
        nonlocal answered
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        for key, body in lane:
            if key not in wanted:
                continue
            tries = 0
            while time.monotonic() < end:
                tries += 1
                wait = 0.2
                try:
                    connection.request("POST", url.path, body=body, headers={"Idempotency-Key": key})
                    answer = connection.getresponse()
                    text = answer.read().decode()
                except (OSError, http.client.HTTPException):
                    connection.close()
                    time.sleep(wait)
                    continue
                if answer.status == 503:
                    time.sleep(float(answer.headers.get("Retry-After", wait)))
                    continue
                found = {
                    "key": key,
                    "status": answer.status,
                    "repeat": answer.headers.get("Idempotent-Repeats"),
                    "tries": tries,
                    "body": text,
                }
                with lock:
                    answered += 1
                    answers.write(json.dumps(found) + "\n")
                break
        connection.close()

    threads = [threading.Thread(target=post, args=(lane,)) for lane in lanes if lane]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.close()
    if answered != len(wanted):
        sys.exit(f"{answered} of {len(wanted)} requests were answered within {arguments.limit:.0f} seconds")


if __name__ == "__main__":
    main()
