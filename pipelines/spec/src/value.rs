//! Data written in a pipeline file (test rows): numbers keep their text, since money must stay exact.
//!
//! Never enters: settings, which have their types by their keys.

use std::fmt::Write;

use crate::node::{Data, Node};
use crate::scalar::{Plain, plain};

/// A piece of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number in JSON's spelling, as written.
    Number(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A mapping in the order written.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The value of a node.
    pub fn of(node: &Node) -> Value {
        match &node.data {
            Data::Null => Value::Null,
            Data::Seq(items) => Value::List(items.iter().map(Value::of).collect()),
            Data::Map(entries) => {
                Value::Map(entries.iter().map(|e| (e.key.value.clone(), Value::of(&e.value))).collect())
            }
            Data::Scalar(scalar) => {
                let text = scalar.clear().unwrap_or("***").to_owned();
                match plain(scalar) {
                    Plain::Bool(value) => Value::Bool(value),
                    Plain::Int(_) | Plain::Number => Value::Number(text),
                    Plain::Text => Value::Text(text),
                }
            }
        }
    }

    /// As JSON on one line, numbers as written.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Number(text) => out.push_str(text),
            Value::Text(text) => out.push_str(&serde_json::Value::from(text.as_str()).to_string()),
            Value::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    let _ = write!(out, "{}:", serde_json::Value::from(key.as_str()));
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

/// Settings on one line, secrets as `***`.
pub(crate) fn describe(node: &Node) -> String {
    match &node.data {
        Data::Null => "null".to_owned(),
        Data::Scalar(scalar) => scalar.clear().unwrap_or("***").to_owned(),
        Data::Seq(items) => format!("[{}]", items.iter().map(describe).collect::<Vec<_>>().join(", ")),
        Data::Map(entries) => {
            let parts: Vec<String> =
                entries.iter().map(|e| format!("{}: {}", e.key.value, describe(&e.value))).collect();
            format!("{{ {} }}", parts.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Diagnostics;
    use crate::span::SourceId;

    #[test]
    fn numbers_keep_their_digits() {
        let text = "{ a: 120.50, b: '1', c: [true, ~], \"d\\n\": 9007199254740993 }";
        let node = crate::load::parse(SourceId(0), text, &mut Diagnostics::default()).unwrap();
        assert_eq!(
            Value::of(&node).to_json(),
            r#"{"a":120.50,"b":"1","c":[true,null],"d\n":9007199254740993}"#
        );
    }
}
