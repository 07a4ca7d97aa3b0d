//! Operator ids that survive edits elsewhere: the id in the file and a hash of what state depends on. Formatting, where
//! late rows go, delays, limits and everything up or down the stream leave it as it is.
//!
//! Invariant PL-2: the same definition gives the same id on every machine and in every version; golden values are tested.

use std::fmt;

use millstream_spec::ast::{Late, Operator, Transform};
use millstream_spec::flow::Flow;
use millstream_spec::sql;

/// The id of an operator in one definition. State is kept under it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperatorId {
    /// The id in the file.
    pub name: String,
    /// The hash of what its state depends on.
    pub definition: u64,
}

impl fmt::Display for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}", self.name, self.definition)
    }
}

impl OperatorId {
    /// The id of a name and a definition.
    pub fn new(name: &str, definition: &str) -> OperatorId {
        OperatorId { name: name.to_owned(), definition: hash(definition) }
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<OperatorId> {
        let (name, definition) = text.split_once(':')?;
        let definition = (definition.len() == 16).then(|| u64::from_str_radix(definition, 16).ok())??;
        Some(OperatorId { name: name.to_owned(), definition })
    }
}

/// FNV-1a over the text, mixed at the end (SplitMix64's finaliser): the name beside it makes chance collisions those of
/// two definitions of one operator.
fn hash(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// What an operator's state depends on, as text.
pub(crate) fn definition(flow: &Flow<'_>, transform: &Transform) -> String {
    match &transform.op {
        Operator::Dedupe(dedupe) => {
            let key: Vec<&str> = dedupe.key.iter().map(|k| k.value.as_str()).collect();
            format!("dedupe key={}{}", key.join(","), columns(flow, transform, |name| key.contains(&name)))
        }
        Operator::Sql(query) => {
            let names = sql::names(&query.sql.text);
            let columns = columns(flow, transform, |name| names.contains(name));
            // Which windows have fired follows from the watermark and the allowance: with another one, windows would fire
            // twice or never. So they would where they fire at their end now and did not before.
            let late = query.late.as_ref().map_or_else(Late::default_rule, |late| late.value.clone());
            let allow = match late.allow_ms {
                0 => String::new(),
                allow => format!(" allow={allow}"),
            };
            let updates = if late.updates { " update" } else { "" };
            format!("sql {}{columns}{allow}{updates}", sql::normal_form(&query.sql.text))
        }
        // No state: the kind is enough.
        _ => transform.type_name.value.clone(),
    }
}

/// The types of the columns that matter, of every input whose schema is known: a type that changes changes state.
fn columns(flow: &Flow<'_>, transform: &Transform, matters: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    for input in &transform.inputs {
        let Some(schema) = flow.schema(&input.value) else { continue };
        let mut fields: Vec<_> = schema.fields.iter().filter(|f| matters(&f.name.value)).collect();
        fields.sort_by(|a, b| a.name.value.cmp(&b.name.value));
        for field in fields {
            out.push_str(&format!(" {}.{}={}", input.value, field.name.value, field.data_type.describe()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_same_for_ever() {
        let id = OperatorId::new("unique", "dedupe key=store_id,invoice_id");
        assert_eq!(id.to_string(), "unique:53fd22f6239558df");
        assert_eq!(OperatorId::parse(&id.to_string()), Some(id));
        for bad in ["unique", "unique:12", "unique:zzzzzzzzzzzzzzzz"] {
            assert_eq!(OperatorId::parse(bad), None);
        }
    }
}
