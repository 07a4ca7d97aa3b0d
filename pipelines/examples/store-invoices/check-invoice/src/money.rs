//! Amounts in hundredths, exact. A JSON number is an amount if it has at most two decimal places and 18 digits and no
//! exponent: `88.5` is `88.50`, `88.505` and `8.85e1` are none.

use crate::json::{Number, Span};

/// An amount and where it stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amount {
    /// Its value.
    pub hundredths: i64,
    /// Its text.
    pub span: Span,
    /// How many decimal places the text has: 0, 1 or 2.
    pub places: u32,
}

/// A number as an amount, or nothing if it is none.
#[inline(always)]
pub fn amount(number: Number) -> Option<Amount> {
    if number.strange || number.places > 2 {
        return None;
    }
    let hundredths = match number.places {
        0 => number.digits.checked_mul(100)?,
        1 => number.digits.checked_mul(10)?,
        _ => number.digits,
    };
    if hundredths >= 10_i64.pow(18) {
        return None;
    }
    let hundredths = if number.negative { -hundredths } else { hundredths };
    Some(Amount { hundredths, span: number.span, places: number.places })
}

/// A quantity times an amount.
#[inline(always)]
pub fn times(quantity: i32, amount: i64) -> i128 {
    // The product of two 32-bit numbers is one instruction; of larger ones, a call.
    if amount.unsigned_abs() < 1 << 31 {
        i128::from(i64::from(quantity) * amount)
    } else {
        times_large(quantity, amount)
    }
}

#[cold]
#[inline(never)]
fn times_large(quantity: i32, amount: i64) -> i128 {
    i128::from(quantity) * i128::from(amount)
}

/// An amount of any size for a person.
pub fn text(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let amount = amount.unsigned_abs();
    format!("{sign}{}.{:02}", amount / 100, amount % 100)
}
