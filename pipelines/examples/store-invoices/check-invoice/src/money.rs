//! Amounts in hundredths, exact. A JSON number is an amount if it has at most two decimal places and 18 digits and no
//! exponent: `88.5` is `88.50`, `88.505` and `8.85e1` are none.

use crate::json::Number;

/// A number as hundredths, or nothing if it is no amount.
#[inline]
pub fn hundredths(number: Number) -> Option<i64> {
    if number.exponent {
        return None;
    }
    let digits = i64::try_from(number.digits?).ok()?;
    let amount = match number.places {
        0 => digits.checked_mul(100)?,
        1 => digits.checked_mul(10)?,
        2 => digits,
        _ => return None,
    };
    (amount < 10_i64.pow(18)).then_some(if number.negative { -amount } else { amount })
}

/// A quantity times an amount.
#[inline]
pub fn times(quantity: i32, amount: i64) -> i128 {
    match i32::try_from(amount) {
        // The product of two 32-bit numbers is one instruction; of larger ones, a call.
        Ok(small) => i128::from(i64::from(quantity) * i64::from(small)),
        Err(_) => i128::from(quantity) * i128::from(amount),
    }
}

/// Appends an amount with two decimal places.
pub fn write(amount: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 24];
    let mut at = digits.len();
    let mut left = amount.unsigned_abs();
    let mut written = 0;
    while left > 0 || written < 3 {
        if written == 2 {
            at -= 1;
            digits[at] = b'.';
        }
        at -= 1;
        // Most amounts have fewer than ten digits; 32-bit division by a constant is the cheaper one.
        let (rest, digit) = match u32::try_from(left) {
            Ok(small) => (u64::from(small / 10), (small % 10) as u8),
            Err(_) => (left / 10, (left % 10) as u8),
        };
        digits[at] = b'0' + digit;
        left = rest;
        written += 1;
    }
    if amount < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends an integer.
pub fn write_integer(integer: i32, out: &mut Vec<u8>) {
    let mut digits = [0; 12];
    let mut at = digits.len();
    let mut left = integer.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if integer < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

/// An amount of any size for a person.
pub fn text(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let amount = amount.unsigned_abs();
    format!("{sign}{}.{:02}", amount / 100, amount % 100)
}
