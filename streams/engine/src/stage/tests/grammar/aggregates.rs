//! Calls of aggregates, of those that run: what they give is the same for the same rows, in whatever order they come.

use millstream_types::Rng;

use super::exprs::{Exprs, KINDS, Kind};
use super::pick;

/// An aggregate, and the kind of what it gives where others may go on with it.
#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    pub(super) text: String,
    pub(super) kind: Option<Kind>,
}

/// Draws an aggregate. `order` is what tells the rows of a group apart.
pub(super) fn any(exprs: &mut Exprs<'_>, order: &str) -> Aggregate {
    let depth = exprs.rng.below(3) as usize;
    let any = exprs.kind();
    let comparable = pick(exprs.rng, &[Kind::Int, Kind::Money, Kind::Text, Kind::Time, Kind::Float]);
    let number = pick(exprs.rng, &[Kind::Int, Kind::Money, Kind::Float]);
    let direction = pick(exprs.rng, &["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
    let (text, kind) = match exprs.rng.below(22) {
        0 | 1 => ("count(*)".to_owned(), Some(Kind::Int)),
        2 => (format!("count({})", exprs.of(any, depth)), Some(Kind::Int)),
        3 => (format!("count(DISTINCT {})", exprs.of(any, depth)), Some(Kind::Int)),
        4..=6 => (format!("sum({})", exprs.of(number, depth)), Some(number)),
        7 => {
            let name = pick(exprs.rng, &["sum", "avg", "median"]);
            let number = pick(exprs.rng, &[Kind::Int, Kind::Money]);
            (format!("{name}(DISTINCT {})", exprs.of(number, depth)), None)
        }
        8 => (format!("avg({})", exprs.of(number, depth)), None),
        9 | 10 => (format!("min({})", exprs.of(comparable, depth)), Some(comparable)),
        11 | 12 => (format!("max({})", exprs.of(comparable, depth)), Some(comparable)),
        13 => {
            let name = pick(exprs.rng, &["bool_and", "bool_or"]);
            (format!("{name}({})", exprs.of(Kind::Bool, depth)), Some(Kind::Bool))
        }
        14 => (format!("array_agg({} ORDER BY {order})", exprs.of(any, depth)), None),
        15 => {
            let text = exprs.of(Kind::Text, depth);
            (format!("string_agg({text}, ', ' ORDER BY {order})"), Some(Kind::Text))
        }
        16 => {
            let kind = pick(exprs.rng, &[Kind::Int, Kind::Text]);
            let of = exprs.column(kind);
            let call = if kind == Kind::Text && exprs.rng.chance(1, 2) { "string_agg" } else { "array_agg" };
            let apart = if call == "string_agg" { ", '+'" } else { "" };
            (format!("{call}(DISTINCT {of}{apart} ORDER BY {of}{direction})"), None)
        }
        17 | 18 => {
            let name = pick(exprs.rng, &["first_value", "last_value"]);
            let by = exprs.column(comparable);
            // The batch engine panics where something is there twice.
            let first = if order.contains(&by) { String::new() } else { format!("{by}{direction}, ") };
            (format!("{name}({} ORDER BY {first}{order})", exprs.of(any, depth)), Some(any))
        }
        19 => (format!("median({})", exprs.of(number, depth)), None),
        20 => {
            let name = pick(exprs.rng, &["bit_and", "bit_or", "bit_xor"]);
            (format!("{name}({})", exprs.of(Kind::Int, depth)), Some(Kind::Int))
        }
        _ => {
            // Sums of squares come in any order: what lies on no bound is rounded the same.
            let name = pick(exprs.rng, &["stddev", "stddev_pop", "var", "var_pop"]);
            let of = exprs.column(Kind::Int);
            (format!("round({name}({of}) + CAST(0.000013 AS DOUBLE), 4)"), None)
        }
    };
    if text.starts_with("round") || !exprs.rng.chance(1, 4) {
        return Aggregate { text, kind };
    }
    Aggregate { text: format!("{text} FILTER (WHERE {})", exprs.bool(1)), kind }
}

/// What is computed of several aggregates, or of one.
pub(super) fn computed(exprs: &mut Exprs<'_>, order: &str) -> Aggregate {
    let (first, other) = (any(exprs, order), any(exprs, order));
    match (first.kind, exprs.rng.below(8)) {
        (Some(Kind::Int), 0) if other.kind == Some(Kind::Int) => {
            Aggregate { text: format!("{} + {}", first.text, other.text), kind: Some(Kind::Int) }
        }
        (Some(Kind::Int), 1) => Aggregate { text: format!("{} * 2", first.text), ..first },
        (Some(kind), 2) => {
            let text = format!("CASE WHEN count(*) > 2 THEN {} END", first.text);
            Aggregate { text, kind: Some(kind) }
        }
        (Some(kind), 3) if KINDS.contains(&kind) => {
            Aggregate { text: format!("coalesce({}, {})", first.text, exprs.literal(kind)), kind: Some(kind) }
        }
        _ => first,
    }
}

/// A condition on groups.
pub(super) fn having(exprs: &mut Exprs<'_>, order: &str) -> String {
    let call = any(exprs, order);
    match call.kind {
        Some(Kind::Int) => format!("({} > 1 OR count(*) % 2 = 0)", call.text),
        _ => format!("({} IS NOT NULL AND count(*) > 1)", call.text),
    }
}
