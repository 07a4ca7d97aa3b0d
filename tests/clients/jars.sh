#!/usr/bin/env bash
# jars.sh FOLDER: fetches Apache Kafka's jars (pom.xml) from Maven Central into FOLDER, unless all are there. What mvn says is told
# when it fails.
set -euo pipefail
jars="$(realpath -m "$1")"
[ ! -e "$jars/.whole" ] || exit 0
cd "$(dirname "${BASH_SOURCE[0]}")"
mkdir -p "$jars"
mvn -q -B -f pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars" 2>&1
touch "$jars/.whole"
