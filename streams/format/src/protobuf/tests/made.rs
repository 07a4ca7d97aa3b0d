//! Random messages as `prost-reflect` has them, and as our reader shows their rows.

use arrow::datatypes::DataType::*;
use millstream_types::{Rng, SeededRng};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::*;

pub(super) const FILE: &str = r#"
syntax = "proto3";
package t;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/type/date.proto";
import "google/type/decimal.proto";
import "confluent/type/decimal.proto";
enum E { ZERO = 0; ONE = 1; MINUS = -1; }
message N { int32 x = 1; repeated int64 l = 2; N n = 3; optional string t = 4; }
message M {
  string s = 1;
  optional string os = 2;
  int32 i = 3;
  sint64 z = 4;
  uint64 u = 5;
  fixed32 f = 6;
  sfixed64 sf = 7;
  bool b = 8;
  float fl = 9;
  double d = 10;
  bytes y = 11;
  E e = 12;
  optional E oe = 13;
  string money = 14;
  google.protobuf.Timestamp ts = 15;
  google.type.Date date = 16;
  confluent.type.Decimal cd = 17;
  google.type.Decimal gd = 18;
  google.protobuf.StringValue sv = 19;
  google.protobuf.Int32Value iv = 20;
  oneof either { int64 p = 21; string q = 22; N r = 23; }
  N n = 24;
  repeated N ns = 25;
  repeated sint32 packed = 26;
  repeated fixed64 loose = 27 [packed = false];
  repeated string words = 28;
  repeated E es = 29;
  map<string, int64> m = 30;
  int64 at = 31;
  repeated double far = 3000;
}
"#;

pub(super) fn columns() -> Schema {
    let n = || vec![null("x", Int32), list("l", Int64), null("t", Utf8)];
    let deep =
        || object([n(), vec![null("n", object([n(), vec![null("n", object(n()))]].concat()))]].concat());
    Schema::new(vec![
        must("s", Utf8),
        null("os", Utf8),
        must("i", Int32),
        null("z", Int64),
        null("u", Decimal128(38, 0)),
        null("f", Int64),
        null("sf", Int64),
        null("b", Boolean),
        null("fl", Float64),
        null("d", Float64),
        null("y", Binary),
        null("e", Utf8),
        null("oe", Int32),
        null("money", money()),
        null("ts", micros()),
        null("date", Date32),
        null("cd", Decimal128(38, 3)),
        null("gd", money()),
        null("sv", Utf8),
        null("iv", Int64),
        null("p", Int64),
        null("q", Utf8),
        null("r", deep()),
        null("n", deep()),
        list("ns", deep()),
        list("packed", Int32),
        list("loose", Int64),
        list("words", Utf8),
        list("es", Utf8),
        list("m", object(vec![must("key", Utf8), must("value", Int64)])),
        null("at", millis()),
        list("far", Float64),
    ])
}

/// What an absent field is read as.
fn absent(field: &FieldDescriptor) -> String {
    if field.cardinality() == prost_reflect::Cardinality::Repeated {
        return "[]".to_owned();
    }
    match (field.name(), field.kind()) {
        ("money", _) => "null".to_owned(),
        _ if field.supports_presence() => "null".to_owned(),
        (_, Kind::String) => "\"\"".to_owned(),
        (_, Kind::Enum(_)) => "\"ZERO\"".to_owned(),
        (_, Kind::Bytes) => "[]".to_owned(),
        (_, Kind::Bool) => "false".to_owned(),
        (_, Kind::Float | Kind::Double) => "0.0".to_owned(),
        _ => "0".to_owned(),
    }
}

pub(super) fn random_int(rng: &mut SeededRng) -> i64 {
    let bits = rng.below(64) as u32;
    let value = (rng.next_u64() >> bits) as i64;
    if rng.chance(1, 3) { value.wrapping_neg() } else { value }
}

pub(super) fn random_text(rng: &mut SeededRng) -> String {
    let pieces = [
        "a",
        "store-17",
        "é",
        "😀",
        "\0",
        "\"",
        "x,y",
        "a long piece of text, of which there may be several ",
    ];
    (0..rng.below(6)).map(|_| pieces[rng.below(pieces.len() as u64) as usize]).collect()
}

/// A well-known message with these values in its fields 1, 2, ….
fn known(field: &FieldDescriptor, values: Vec<Value>) -> Value {
    let kind = field.kind();
    let mut message = DynamicMessage::new(kind.as_message().expect("a message").clone());
    for (number, value) in (1..).zip(values) {
        if !value.is_default(&message.descriptor_of(number)) {
            message.set_field_by_number(number, value);
        }
    }
    Value::Message(message)
}

trait KindOf {
    fn descriptor_of(&self, number: u32) -> Kind;
}

impl KindOf for DynamicMessage {
    fn descriptor_of(&self, number: u32) -> Kind {
        use prost_reflect::ReflectMessage as _;
        self.descriptor().get_field(number).expect("a field").kind()
    }
}

/// A value of a field or of its list, and as our reader shows it.
pub(super) fn random_value(rng: &mut SeededRng, field: &FieldDescriptor, depth: u32) -> (Value, String) {
    let int = random_int(rng);
    let shown = |value: Value, shown: &dyn ToString| (value, shown.to_string());
    match (field.name(), field.kind()) {
        ("money", _) => {
            shown(Value::String(format!("{}.{:02}", int % 1_000_000, int.unsigned_abs() % 100)), &{
                let cents = int % 1_000_000 * 100;
                let part = (int.unsigned_abs() % 100) as i64;
                if int % 1_000_000 < 0 { cents - part } else { cents + part }
            })
        }
        ("gd", _) => {
            let cents = int.unsigned_abs() % 100_000_000;
            let text = format!("-{}.{:02}", 1 + cents / 100, cents % 100);
            (known(field, vec![Value::String(text)]), format!("-{}", cents + 100))
        }
        ("cd", _) => {
            let mut bytes = i128::from(int).to_be_bytes().to_vec();
            while bytes.len() > 1
                && ((bytes[0] == 0 && bytes[1] < 0x80) || (bytes[0] == 0xff && bytes[1] >= 0x80))
            {
                bytes.remove(0);
            }
            let values = vec![Value::Bytes(bytes.into()), Value::U32(38), Value::I32(3)];
            (known(field, values), int.to_string())
        }
        ("ts", _) => {
            let (seconds, micros) = (int % 60_000_000_000, rng.below(1_000_000) as i64);
            let values = vec![Value::I64(seconds), Value::I32(micros as i32 * 1_000)];
            (known(field, values), (seconds * 1_000_000 + micros).to_string())
        }
        ("date", _) => {
            let day = rng.below(28) as i32;
            let values = vec![Value::I32(2026), Value::I32(3), Value::I32(day + 1)];
            (known(field, values), (20_513 + day).to_string())
        }
        ("at", _) => shown(Value::I64(int % 60_000_000_000_000), &(int % 60_000_000_000_000)),
        ("sv", _) => {
            let text = random_text(rng);
            (known(field, vec![Value::String(text.clone())]), format!("{text:?}"))
        }
        ("iv", _) => (known(field, vec![Value::I32(int as i32)]), (int as i32).to_string()),
        ("loose", _) => shown(Value::U64(int as u64 >> 1), &(int as u64 >> 1)),
        (_, Kind::String) => {
            let text = random_text(rng);
            (Value::String(text.clone()), format!("{text:?}"))
        }
        (_, Kind::Bytes) => {
            let bytes = random_text(rng).into_bytes();
            let text = format!("{bytes:02x?}");
            (Value::Bytes(bytes.into()), text)
        }
        (_, Kind::Enum(_)) => {
            let number = if rng.chance(1, 4) { int as i32 } else { rng.below(3) as i32 - 1 };
            let name = match number {
                0 => "ZERO".to_owned(),
                1 => "ONE".to_owned(),
                -1 => "MINUS".to_owned(),
                _ => number.to_string(),
            };
            let text = if field.name() == "oe" { number.to_string() } else { format!("{name:?}") };
            (Value::EnumNumber(number), text)
        }
        (_, Kind::Bool) => shown(Value::Bool(int & 1 == 1), &(int & 1 == 1)),
        (_, Kind::Int32 | Kind::Sint32) => shown(Value::I32(int as i32), &(int as i32)),
        (_, Kind::Fixed32 | Kind::Uint32) => shown(Value::U32(int as u32), &(int as u32)),
        (_, Kind::Uint64) => shown(Value::U64(int as u64), &(int as u64)),
        (_, Kind::Float) => {
            let value = int as f32 / 1024.0;
            (Value::F32(value), format!("{:?}", f64::from(value)))
        }
        (_, Kind::Double) => (Value::F64(int as f64 * 1e-3), format!("{:?}", int as f64 * 1e-3)),
        (_, Kind::Message(of)) => {
            let names: &[&str] = if depth < 2 { &["x", "l", "t", "n"] } else { &["x", "l", "t"] };
            let (message, text) = random_message(rng, &of, names, depth + 1);
            (Value::Message(message), format!("{{{text}}}"))
        }
        _ => shown(Value::I64(int), &int),
    }
}

/// A message with random values for these fields, and as our reader shows it.
pub(super) fn random_message(
    rng: &mut SeededRng,
    of: &MessageDescriptor,
    names: &[&str],
    depth: u32,
) -> (DynamicMessage, String) {
    let mut message = DynamicMessage::new(of.clone());
    let mut cells = Vec::new();
    let chosen = ["p", "q", "r", "none"][rng.below(4) as usize];
    for name in names {
        let field = of.get_field_by_name(name).expect("a field");
        let in_oneof = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
        let left_out = if in_oneof { *name != chosen } else { rng.chance(1, 4) };
        if left_out {
            cells.push(absent(&field));
        } else if field.is_map() {
            let (key, value) = (random_text(rng), random_int(rng));
            cells.push(format!("[{{{key:?} {value}}}]"));
            message.set_field(&field, Value::Map([(MapKey::String(key), Value::I64(value))].into()));
        } else if field.is_list() {
            let (values, texts): (Vec<Value>, Vec<String>) =
                (0..rng.below(4)).map(|_| random_value(rng, &field, depth)).unzip();
            cells.push(format!("[{}]", texts.join(" ")));
            message.set_field(&field, Value::List(values));
        } else {
            let (value, text) = random_value(rng, &field, depth);
            cells.push(text);
            message.set_field(&field, value);
        }
    }
    (message, cells.join(" "))
}
