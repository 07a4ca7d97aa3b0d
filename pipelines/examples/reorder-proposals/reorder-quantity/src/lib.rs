//! What to order of a product of which some are missing, by its supplier's terms: `packs of 6`, `at least 40.00`, or both,
//! parted by a comma. A scalar function: of each row it is handed the list `[missing, cost, terms]`, and it gives a number, or
//! NULL where `missing` or `cost` is. It refuses terms that it cannot read (`bad_terms`).

use millstream_function::{Context, Emit, Failure, Message, NewMessage};

fn reorder_quantity(message: &Message, _context: &mut Context) -> Result<Emit, Failure> {
    let arguments = message.value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
    let value = quantity(arguments)?.map(|quantity| quantity.to_string().into_bytes());
    Ok(Emit::one(NewMessage { value, ..NewMessage::default() }))
}

millstream_function::export_fn!(reorder_quantity);

/// The quantity for one row's arguments.
fn quantity(arguments: &str) -> Result<Option<i64>, Failure> {
    let not_ours = || Failure::new("bad_arguments", format!("{arguments} is not [missing, cost, terms]"));
    let list = arguments.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or_else(not_ours)?;
    let mut parts = list.splitn(3, ',');
    let mut part = || parts.next().ok_or_else(not_ours);
    let (missing, cost, terms) = (part()?, part()?, part()?);
    if missing == "null" || cost == "null" {
        return Ok(None);
    }
    let missing: i128 = missing.parse().map_err(|_| not_ours())?;
    let cost = hundredths(cost).ok_or_else(not_ours)?;
    let (mut pack, mut least) = (1, 0);
    for term in terms.trim_matches('"').split(',').map(str::trim) {
        let bad = || Failure::new("bad_terms", format!("the terms {terms} cannot be read at {term:?}"));
        if let Some(size) = term.strip_prefix("packs of ") {
            pack = size.parse().ok().filter(|size| *size > 0).ok_or_else(bad)?;
        } else if let Some(sum) = term.strip_prefix("at least ") {
            least = hundredths(sum).ok_or_else(bad)?;
        } else if !matches!(term, "" | "null") {
            return Err(bad());
        }
    }
    if least > 0 && cost <= 0 {
        return Err(Failure::new("no_cost", "what costs nothing comes to no least sum"));
    }
    let for_least = if least > 0 { up(least, cost) } else { 0 };
    let packs = up(missing.max(for_least), pack);
    let quantity = packs.checked_mul(pack).and_then(|quantity| i64::try_from(quantity).ok());
    quantity
        .map(Some)
        .ok_or_else(|| Failure::new("too_many", format!("{packs} packs of {pack} are too many")))
}

/// A part of a whole, rounded up; both are positive, or the sum is.
fn up(sum: i128, part: i128) -> i128 {
    sum.div_euclid(part) + i128::from(sum.rem_euclid(part) > 0)
}

/// Money with at most two places, in hundredths.
fn hundredths(text: &str) -> Option<i128> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if places.len() > 2 || !digits(places) || whole.len() > 30 || whole.is_empty() {
        return None;
    }
    let (sign, whole) = whole.strip_prefix('-').map_or((1, whole), |rest| (-1, rest));
    if !digits(whole) {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let places: i128 = format!("{places:0<2}").parse().ok()?;
    Some(sign * (whole * 100 + places))
}
