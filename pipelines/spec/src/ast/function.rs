//! Functions that SQL calls by their names, and which of them a transform calls.

use std::collections::BTreeSet;

use super::{FieldType, Operator, Pipeline, Wasm};
use crate::span::Spanned;
use crate::sql::{self, SqlText};

/// The most functions of a pipeline.
pub const FUNCTIONS_MAX: usize = 32;
/// The most arguments of one.
pub const ARGUMENTS_MAX: usize = 32;

/// A function that queries call by its name: a value for each row.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub id: Spanned<String>,
    /// The types of its arguments.
    pub arguments: Vec<FieldType>,
    /// The type of what it gives.
    pub returns: FieldType,
    /// Its module, limits and values; it looks nothing up.
    pub wasm: Wasm,
}

impl Function {
    /// Its name and types: `reorder(int64, decimal(12,2)) -> int64`.
    pub fn signature(&self) -> String {
        let arguments: Vec<String> = self.arguments.iter().map(FieldType::describe).collect();
        format!("{}({}) -> {}", self.id.value, arguments.join(", "), self.returns.describe())
    }

    /// What it gives depends on, as text: state that is made of it is another's where this is another.
    pub fn definition(&self) -> String {
        let config: String =
            self.wasm.config.iter().map(|(key, value)| format!(" {key}={value:?}")).collect();
        format!("{} {}{config}", self.signature(), self.wasm.digest.as_deref().unwrap_or("unread"))
    }
}

impl Operator {
    /// Its SQL: a query, a condition, or expressions.
    pub fn texts(&self) -> Vec<&SqlText> {
        match self {
            Operator::Sql(query) => vec![&query.sql],
            Operator::Filter(condition) => vec![condition],
            Operator::Map(parts) | Operator::Route(parts, _) => parts.iter().map(|(_, text)| text).collect(),
            Operator::Wasm(_) | Operator::Topic(_) | Operator::Dedupe(_) | Operator::Union => Vec::new(),
        }
    }
}

impl Pipeline {
    /// What it says of modules: of functions, and of transforms that are one.
    pub(crate) fn modules_mut(&mut self) -> impl Iterator<Item = &mut Wasm> {
        let transforms = self.transforms.values_mut().filter_map(|transform| match &mut transform.op {
            Operator::Wasm(wasm) => Some(wasm),
            _ => None,
        });
        self.functions.values_mut().map(|function| &mut function.wasm).chain(transforms)
    }

    /// The functions that texts call, by name.
    pub fn called<'a>(&self, texts: impl IntoIterator<Item = &'a SqlText>) -> Vec<&Function> {
        if self.functions.is_empty() {
            return Vec::new();
        }
        let called: BTreeSet<String> = texts.into_iter().flat_map(|text| sql::calls(&text.text)).collect();
        called.iter().filter_map(|name| self.functions.get(name)).collect()
    }
}
