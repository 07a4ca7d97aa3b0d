//! Guests as WAT. One core, which obeys the first byte of each value, behind two doors: the plain module and the
//! packed component. A third guest passes typed messages through.
//!
//! `l` loops, `t` traps, `g` grows its memory until that is refused and traps, `r` recurses, `o` reads outside its
//! memory, `b` returns a broken outcome, `h` returns 60,000 bytes, `e` logs an error and traps, `x` looks into a table
//! that is not listed, `L` logs 300 lines, `s` spins 10,000 rounds for each byte of the value, `w` refuses the batch
//! (the component) or traps (the plain module), `f` fails its record, `d` drops it; any other value is passed on.

const CORE: &str = r#"
  (data (i32.const 16) "nobad luckcodewhy")
  (global $out_length (mut i32) (i32.const 0))
  (global $refused (mut i32) (i32.const 0))
  (func $grow_to (param $end i32)
    (local $pages i32)
    (local.set $pages (i32.sub
      (i32.shr_u (i32.add (local.get $end) (i32.const 65535)) (i32.const 16)) (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0))
      (then (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then (unreachable))))))
  (func $recurse (param $n i64) (result i64)
    (i64.add (call $recurse (i64.add (local.get $n) (i64.const 1))) (local.get $n)))
  (func $at_least_0 (param $n i32) (result i32)
    (select (local.get $n) (i32.const 0) (i32.gt_s (local.get $n) (i32.const 0))))
  (func $spin (param $rounds i32)
    (loop $again
      (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
      (br_if $again (i32.gt_s (local.get $rounds) (i32.const 0)))))
  (func $obey (param $command i32) (param $length i32)
    (local $n i32)
    (if (i32.eq (local.get $command) (i32.const 0x6c)) (then (loop $ever (br $ever))))
    (if (i32.eq (local.get $command) (i32.const 0x74)) (then (unreachable)))
    (if (i32.eq (local.get $command) (i32.const 0x67)) (then
      (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)))
    (if (i32.eq (local.get $command) (i32.const 0x72)) (then (drop (call $recurse (i64.const 0)))))
    (if (i32.eq (local.get $command) (i32.const 0x6f)) (then (drop (i32.load (i32.const -8)))))
    (if (i32.eq (local.get $command) (i32.const 0x65)) (then
      (call $log (i32.const 3) (i32.const 18) (i32.const 8)) (unreachable)))
    (if (i32.eq (local.get $command) (i32.const 0x78)) (then (call $ask)))
    (if (i32.eq (local.get $command) (i32.const 0x4c)) (then
      (local.set $n (i32.const 300))
      (loop $more
        (call $log (i32.const 1) (i32.const 18) (i32.const 8))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br_if $more (local.get $n)))))
    (if (i32.eq (local.get $command) (i32.const 0x73)) (then
      (call $spin (i32.mul (local.get $length) (i32.const 10000)))))
    (if (i32.eq (local.get $command) (i32.const 0x77)) (then (global.set $refused (i32.const 1)))))
  (func $run (param $in i32) (param $length i32) (result i32)
    (local $left i32) (local $input i32) (local $start i32) (local $out i32) (local $emits i32)
    (local $failures i32) (local $failed i32) (local $value i32) (local $value_length i32) (local $end i32)
    (local $headers i32) (local $command i32) (local $broken i32) (local $huge i32)
    (global.set $refused (i32.const 0))
    (local.set $start (i32.add (local.get $in) (local.get $length)))
    (call $grow_to (i32.add (local.get $start) (i32.add (local.get $length) (i32.const 65536))))
    (local.set $out (i32.add (local.get $start) (i32.const 8)))
    (local.set $failures (i32.const 4096))
    (local.set $left (i32.load (local.get $in)))
    (local.set $in (i32.add (local.get $in) (i32.const 4)))
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $left)))
      (local.set $value_length (call $at_least_0 (i32.load offset=24 (local.get $in))))
      (local.set $value (i32.add (i32.add (local.get $in) (i32.const 32))
        (call $at_least_0 (i32.load offset=20 (local.get $in)))))
      (local.set $end (i32.add (local.get $value) (local.get $value_length)))
      (local.set $headers (i32.load offset=28 (local.get $in)))
      (block $no_more (loop $header
        (br_if $no_more (i32.eqz (local.get $headers)))
        (local.set $end (i32.add (i32.add (local.get $end) (i32.const 8)) (i32.add
          (i32.load (local.get $end)) (call $at_least_0 (i32.load offset=4 (local.get $end))))))
        (local.set $headers (i32.sub (local.get $headers) (i32.const 1)))
        (br $header)))
      (local.set $command (if (result i32) (local.get $value_length)
        (then (i32.load8_u (local.get $value))) (else (i32.const 0))))
      (call $obey (local.get $command) (local.get $value_length))
      (if (i32.eq (local.get $command) (i32.const 0x62)) (then (local.set $broken (i32.const 1))))
      (if (i32.eq (local.get $command) (i32.const 0x68)) (then (local.set $huge (i32.const 1))))
      (if (i32.eq (local.get $command) (i32.const 0x66))
        (then
          (i32.store (local.get $failures) (local.get $input))
          (i32.store offset=4 (local.get $failures) (i32.const 2))
          (i32.store offset=8 (local.get $failures) (i32.const 8))
          (memory.copy (i32.add (local.get $failures) (i32.const 12)) (i32.const 16) (i32.const 10))
          (local.set $failures (i32.add (local.get $failures) (i32.const 22)))
          (local.set $failed (i32.add (local.get $failed) (i32.const 1))))
        (else (if (i32.ne (local.get $command) (i32.const 0x64)) (then
          (i64.store (local.get $out) (i64.load offset=8 (local.get $in)))
          (i32.store offset=8 (local.get $out) (local.get $input))
          (i64.store offset=12 (local.get $out) (i64.const -1))
          (memory.copy (i32.add (local.get $out) (i32.const 20)) (i32.add (local.get $in) (i32.const 20))
            (i32.sub (i32.sub (local.get $end) (local.get $in)) (i32.const 20)))
          (local.set $out (i32.add (local.get $out) (i32.sub (local.get $end) (local.get $in))))
          (local.set $emits (i32.add (local.get $emits) (i32.const 1)))))))
      (local.set $in (local.get $end))
      (local.set $input (i32.add (local.get $input) (i32.const 1)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $next)))
    (memory.copy (local.get $out) (i32.const 4096) (i32.sub (local.get $failures) (i32.const 4096)))
    (i32.store (local.get $start) (local.get $emits))
    (i32.store offset=4 (local.get $start) (local.get $failed))
    (global.set $out_length
      (i32.sub (i32.add (local.get $out) (i32.sub (local.get $failures) (i32.const 4096))) (local.get $start)))
    (if (local.get $broken) (then (global.set $out_length (i32.sub (global.get $out_length) (i32.const 3)))))
    (if (local.get $huge) (then (global.set $out_length (i32.const 60000))))
    (local.get $start))
"#;

/// The core behind the plain ABI.
pub fn plain() -> String {
    r#"(module
  (import "millstream" "log" (func $log (param i32 i32 i32)))
  (import "millstream" "lookup" (func $lookup (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 2)
  (func $ask (drop (call $lookup (i32.const 16) (i32.const 2) (i32.const 0) (i32.const 4))))
  CORE
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "allocate") (param $bytes i32) (result i32)
    (call $grow_to (i32.add (local.get $bytes) (i32.const 65536)))
    (i32.const 65536))
  (func (export "process") (param i32 i32) (result i64)
    (local $at i32)
    (local.set $at (call $run (local.get 0) (local.get 1)))
    (if (global.get $refused) (then (unreachable)))
    (i64.or (i64.shl (i64.extend_i32_u (local.get $at)) (i64.const 32))
      (i64.extend_i32_u (global.get $out_length)))))"#
        .replace("CORE", CORE)
}

/// A module for the memory, so that the host's functions can be lowered before the guest is there.
const MEMORY: &str = r#"
  (core module $memory
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 65536))
    (func (export "reset") (param i32) (global.set $next (i32.const 65536)))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32) (local $pages i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.set $pages (i32.sub
        (i32.shr_u (i32.add (global.get $next) (i32.const 65535)) (i32.const 16)) (memory.size)))
      (if (i32.gt_s (local.get $pages) (i32.const 0))
        (then (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then (unreachable)))))
      (local.get $at)))
  (core instance $m (instantiate $memory))"#;

/// The core as a component of the world `packed`. `init_fails` makes its `init` return a failure.
pub fn packed(init_fails: bool) -> String {
    r#"(component
  (import "millstream:functions/host@0.1.0" (instance $host
    (type $level' (enum "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $level')))
    (export "log" (func (param "level" $level) (param "text" string)))
    (export "lookup" (func (param "table" string) (param "keys" (list (list u8)))
      (result (list (option (list u8))))))))
  MEMORY
  (core func $log (canon lower (func $host "log") (memory (core memory $m "memory"))))
  (core func $lookup (canon lower (func $host "lookup") (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))
  (core module $main
    (import "m" "memory" (memory 2))
    (import "host" "log" (func $log (param i32 i32 i32)))
    (import "host" "lookup" (func $lookup (param i32 i32 i32 i32 i32)))
    (func $ask (call $lookup (i32.const 16) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 512)))
    CORE
    (func $failure
      (i32.store (i32.const 512) (i32.const 1))
      (i32.store (i32.const 516) (i32.const 26))
      (i32.store (i32.const 520) (i32.const 4))
      (i32.store (i32.const 524) (i32.const 30))
      (i32.store (i32.const 528) (i32.const 3)))
    (func (export "init") (result i32)
      (i32.store (i32.const 512) (i32.const 0))
      (if (i32.const INIT_FAILS) (then (call $failure)))
      (i32.const 512))
    (func (export "process") (param i32 i32) (result i32)
      (local $at i32)
      (local.set $at (call $run (local.get 0) (local.get 1)))
      (i32.store (i32.const 512) (i32.const 0))
      (i32.store (i32.const 516) (local.get $at))
      (i32.store (i32.const 520) (global.get $out_length))
      (if (global.get $refused) (then (call $failure)))
      (i32.const 512)))
  (core instance $g (instantiate $main
    (with "m" (instance $m))
    (with "host" (instance (export "log" (func $log)) (export "lookup" (func $lookup))))))
  (type $failure' (record (field "code" string) (field "reason" string)))
  (export $failure "failure" (type $failure'))
  (func $init (result (result (error $failure))) (canon lift (core func $g "init") (memory (core memory $m "memory"))))
  (export "init" (func $init))
  (func $process (param "batch" (list u8)) (result (result (list u8) (error $failure)))
    (canon lift (core func $g "process") (memory (core memory $m "memory")) (realloc (core func $m "realloc"))
      (post-return (core func $m "reset"))))
  (export "process" (func $process)))"#
        .replace("MEMORY", MEMORY)
        .replace("CORE", CORE)
        .replace("INIT_FAILS", if init_fails { "1" } else { "0" })
}

/// A component of the world `transform` that passes every message on, and fails those without a value.
pub fn transform() -> String {
    r#"(component
  MEMORY
  (core module $main
    (import "m" "memory" (memory 2))
    (import "m" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (data (i32.const 16) "empty")
    (func (export "init") (result i32) (i32.store (i32.const 512) (i32.const 0)) (i32.const 512))
    (func (export "process") (param $in i32) (param $count i32) (result i32)
      (local $emits i32) (local $emit i32) (local $failures i32) (local $failure i32) (local $input i32)
      (local.set $emits (call $realloc (i32.const 0) (i32.const 0) (i32.const 8)
        (i32.mul (local.get $count) (i32.const 72))))
      (local.set $failures (call $realloc (i32.const 0) (i32.const 0) (i32.const 8)
        (i32.mul (local.get $count) (i32.const 20))))
      (local.set $emit (local.get $emits))
      (local.set $failure (local.get $failures))
      (block $done (loop $next
        (br_if $done (i32.eq (local.get $input) (local.get $count)))
        (if (i32.load8_u offset=12 (local.get $in))
          (then
            (i32.store (local.get $emit) (local.get $input))
            (i32.store8 offset=4 (local.get $emit) (i32.const 0))
            (memory.copy (i32.add (local.get $emit) (i32.const 16)) (local.get $in) (i32.const 56))
            (i32.store offset=56 (local.get $emit) (i32.const -1))
            (local.set $emit (i32.add (local.get $emit) (i32.const 72))))
          (else
            (i32.store (local.get $failure) (local.get $input))
            (i32.store offset=4 (local.get $failure) (i32.const 16))
            (i32.store offset=8 (local.get $failure) (i32.const 5))
            (i32.store offset=12 (local.get $failure) (i32.const 16))
            (i32.store offset=16 (local.get $failure) (i32.const 5))
            (local.set $failure (i32.add (local.get $failure) (i32.const 20)))))
        (local.set $in (i32.add (local.get $in) (i32.const 56)))
        (local.set $input (i32.add (local.get $input) (i32.const 1)))
        (br $next)))
      (i32.store (i32.const 512) (i32.const 0))
      (i32.store (i32.const 516) (local.get $emits))
      (i32.store (i32.const 520) (i32.div_u (i32.sub (local.get $emit) (local.get $emits)) (i32.const 72)))
      (i32.store (i32.const 524) (local.get $failures))
      (i32.store (i32.const 528) (i32.div_u (i32.sub (local.get $failure) (local.get $failures)) (i32.const 20)))
      (i32.const 512)))
  (core instance $g (instantiate $main (with "m" (instance $m))))
  (type $failure' (record (field "code" string) (field "reason" string)))
  (export $failure "failure" (type $failure'))
  (type $header' (record (field "key" string) (field "value" (option (list u8)))))
  (export $header "header" (type $header'))
  (type $message' (record (field "key" (option (list u8))) (field "value" (option (list u8)))
    (field "headers" (list $header)) (field "timestamp-ms" s64) (field "partition" s32) (field "offset" s64)))
  (export $message "message" (type $message'))
  (type $emit' (record (field "input" u32) (field "output" (option string)) (field "message" $message)))
  (export $emit "emit" (type $emit'))
  (type $bad' (record (field "input" u32) (field "why" $failure)))
  (export $bad "bad" (type $bad'))
  (type $outcome' (record (field "emits" (list $emit)) (field "failed" (list $bad))))
  (export $outcome "outcome" (type $outcome'))
  (func $init (result (result (error $failure))) (canon lift (core func $g "init") (memory (core memory $m "memory"))))
  (export "init" (func $init))
  (func $process (param "batch" (list $message)) (result (result $outcome (error $failure)))
    (canon lift (core func $g "process") (memory (core memory $m "memory")) (realloc (core func $m "realloc"))
      (post-return (core func $m "reset"))))
  (export "process" (func $process)))"#
        .replace("MEMORY", MEMORY)
}
