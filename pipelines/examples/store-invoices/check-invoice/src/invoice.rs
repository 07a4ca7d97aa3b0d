//! An invoice: which fields it has and of which types. Fields that are not listed are checked as JSON and left out of
//! the normal form; a listed field that comes twice is refused, since two readers could take different ones.

use crate::json::{Malformed, Scanner, Text};
use crate::{money, time};

/// An invoice, its strings still in the record.
#[derive(Debug, Default)]
pub struct Invoice<'a> {
    pub invoice_id: Text<'a>,
    pub store_id: Text<'a>,
    pub counter_id: i32,
    pub issued_at_ms: i64,
    pub currency: Text<'a>,
    pub customer_id: Option<Text<'a>>,
    pub payment_method: Text<'a>,
    /// In hundredths.
    pub total: i64,
}

/// One line of it; amounts in hundredths.
#[derive(Debug, Default)]
pub struct Line<'a> {
    pub sku: Text<'a>,
    pub name: Option<Text<'a>>,
    pub quantity: i32,
    pub unit_price: i64,
    pub discount: i64,
    pub tax: i64,
}

type Scan<T> = Result<T, Malformed>;

const CUSTOMER: u32 = 1 << 5;
const REQUIRED: u32 = ((1 << 9) - 1) & !CUSTOMER;
const NAME: u32 = 1 << 1;
const LINE_REQUIRED: u32 = ((1 << 6) - 1) & !NAME;

/// Reads an invoice; its lines are appended to `lines`.
pub fn parse<'a>(text: &'a [u8], lines: &mut Vec<Line<'a>>) -> Scan<Invoice<'a>> {
    let mut scanner = Scanner::new(text);
    let mut invoice = Invoice::default();
    let seen = object(&mut scanner, |scanner, field| {
        Ok(match field {
            b"invoice_id" => {
                invoice.invoice_id = scanner.string("invoice_id: not a string")?;
                1
            }
            b"store_id" => {
                invoice.store_id = scanner.string("store_id: not a string")?;
                1 << 1
            }
            b"counter_id" => {
                invoice.counter_id = integer(scanner, "counter_id: not an integer of 32 bits")?;
                1 << 2
            }
            b"issued_at" => {
                invoice.issued_at_ms = issued_at(scanner)?;
                1 << 3
            }
            b"currency" => {
                invoice.currency = scanner.string("currency: not a string")?;
                1 << 4
            }
            b"customer_id" => {
                invoice.customer_id = optional(scanner, "customer_id: neither a string nor null")?;
                CUSTOMER
            }
            b"payment_method" => {
                invoice.payment_method = scanner.string("payment_method: not a string")?;
                1 << 6
            }
            b"lines" => {
                parse_lines(scanner, lines)?;
                1 << 7
            }
            b"total" => {
                invoice.total = amount(scanner, "total: not a number of at most two decimal places")?;
                1 << 8
            }
            _ => {
                scanner.skip()?;
                0
            }
        })
    })?;
    scanner.end()?;
    if seen & REQUIRED != REQUIRED {
        const NAMES: [&str; 9] = [
            "invoice_id is missing",
            "store_id is missing",
            "counter_id is missing",
            "issued_at is missing",
            "currency is missing",
            "",
            "payment_method is missing",
            "lines is missing",
            "total is missing",
        ];
        return scanner.wrong(NAMES[(REQUIRED & !seen).trailing_zeros() as usize]);
    }
    Ok(invoice)
}

fn parse_lines<'a>(scanner: &mut Scanner<'a>, lines: &mut Vec<Line<'a>>) -> Scan<()> {
    scanner.expect(b'[', "lines: not an array")?;
    // A second `lines` is refused by the caller; its content does not matter.
    if scanner.pass(b']') {
        return Ok(());
    }
    loop {
        lines.push(line(scanner)?);
        if !scanner.pass(b',') {
            return scanner.expect(b']', "a comma or the end of an array");
        }
    }
}

fn line<'a>(scanner: &mut Scanner<'a>) -> Scan<Line<'a>> {
    let mut line = Line::default();
    let seen = object(scanner, |scanner, field| {
        Ok(match field {
            b"sku" => {
                line.sku = scanner.string("sku: not a string")?;
                1
            }
            b"name" => {
                line.name = optional(scanner, "name: neither a string nor null")?;
                NAME
            }
            b"qty" => {
                line.quantity = integer(scanner, "qty: not an integer of 32 bits")?;
                1 << 2
            }
            b"unit_price" => {
                line.unit_price = amount(scanner, "unit_price: not a number of at most two decimal places")?;
                1 << 3
            }
            b"discount" => {
                line.discount = amount(scanner, "discount: not a number of at most two decimal places")?;
                1 << 4
            }
            b"tax" => {
                line.tax = amount(scanner, "tax: not a number of at most two decimal places")?;
                1 << 5
            }
            _ => {
                scanner.skip()?;
                0
            }
        })
    })?;
    if seen & LINE_REQUIRED != LINE_REQUIRED {
        const NAMES: [&str; 6] = [
            "sku is missing",
            "",
            "qty is missing",
            "unit_price is missing",
            "discount is missing",
            "tax is missing",
        ];
        return scanner.wrong(NAMES[(LINE_REQUIRED & !seen).trailing_zeros() as usize]);
    }
    Ok(line)
}

/// An object: `read` gets each field's name and reads its value, and answers with the field's bit, 0 for a field that
/// is not listed. Returns the bits of all fields that were there.
#[inline(always)]
fn object<'a>(
    scanner: &mut Scanner<'a>,
    mut read: impl FnMut(&mut Scanner<'a>, &[u8]) -> Scan<u32>,
) -> Scan<u32> {
    scanner.expect(b'{', "not an object")?;
    let mut seen = 0;
    if scanner.pass(b'}') {
        return Ok(seen);
    }
    let mut buffer = Vec::new();
    loop {
        let name = scanner.string("a field's name in quotes")?;
        scanner.expect(b':', "a colon after a field's name")?;
        let bit = match name.plain() {
            Some(plain) => read(scanner, plain)?,
            None => read(scanner, name.decoded(&mut buffer))?,
        };
        if seen & bit != 0 {
            return scanner.wrong("a field that was there before");
        }
        seen |= bit;
        if !scanner.pass(b',') {
            scanner.expect(b'}', "a comma or the end of an object")?;
            return Ok(seen);
        }
    }
}

fn optional<'a>(scanner: &mut Scanner<'a>, what: &'static str) -> Scan<Option<Text<'a>>> {
    if scanner.null()? { Ok(None) } else { scanner.string(what).map(Some) }
}

fn integer(scanner: &mut Scanner<'_>, what: &'static str) -> Scan<i32> {
    match long(scanner, what)?.map(i32::try_from) {
        Some(Ok(integer)) => Ok(integer),
        _ => scanner.wrong(what),
    }
}

fn long(scanner: &mut Scanner<'_>, what: &'static str) -> Scan<Option<i64>> {
    let number = scanner.number(what)?;
    let digits = number.digits.filter(|_| !number.fraction).and_then(|digits| i64::try_from(digits).ok());
    Ok(digits.map(|digits| if number.negative { -digits } else { digits }))
}

fn amount(scanner: &mut Scanner<'_>, what: &'static str) -> Scan<i64> {
    match money::hundredths(scanner.number(what)?) {
        Some(amount) => Ok(amount),
        None => scanner.wrong(what),
    }
}

fn issued_at(scanner: &mut Scanner<'_>) -> Scan<i64> {
    const WHAT: &str = "issued_at: neither ISO 8601 with an offset nor milliseconds since 1970";
    let ms = if scanner.peek() == b'"' {
        let mut buffer = Vec::new();
        time::parse(scanner.string(WHAT)?.decoded(&mut buffer))
    } else {
        long(scanner, WHAT)?.and_then(time::in_range)
    };
    match ms {
        Some(ms) => Ok(ms),
        None => scanner.wrong(WHAT),
    }
}
