//! An invoice: which fields it has and of which types. Fields that are not listed are checked as JSON and left out of
//! the normal form; a listed field that comes twice is refused, since two readers could take different ones.

use crate::json::{Malformed, Name, Number, Scanner, Span, Text, Wrong, name};
use crate::money::{self, Amount};
use crate::time;

/// An invoice, its strings still in the record.
#[derive(Debug, Default)]
pub struct Invoice {
    pub invoice_id: Text,
    pub store_id: Text,
    pub counter_id: i32,
    pub counter_id_span: Span,
    pub issued_at_ms: i64,
    pub currency: Text,
    pub customer_id: Option<Text>,
    pub payment_method: Text,
    pub total: Amount,
}

/// One line of it.
#[derive(Debug, Default)]
pub struct Line {
    pub sku: Text,
    pub name: Option<Text>,
    pub quantity: i32,
    pub quantity_span: Span,
    pub unit_price: Amount,
    pub discount: Amount,
    pub tax: Amount,
}

type Scan<T> = Result<T, Wrong>;

const INVOICE_ID: Name = name("invoice_id");
const STORE_ID: Name = name("store_id");
const COUNTER_ID: Name = name("counter_id");
const ISSUED_AT: Name = name("issued_at");
const CURRENCY: Name = name("currency");
const CUSTOMER_ID: Name = name("customer_id");
const PAYMENT_METHOD: Name = name("payment_method");
const LINES: Name = name("lines");
const TOTAL: Name = name("total");
const SKU: Name = name("sku");
const LINE_NAME: Name = name("name");
const QTY: Name = name("qty");
const UNIT_PRICE: Name = name("unit_price");
const DISCOUNT: Name = name("discount");
const TAX: Name = name("tax");

/// Bits of the fields that have been there.
const CUSTOMER: u32 = 1 << 5;
const REQUIRED: u32 = ((1 << 9) - 1) & !CUSTOMER;
const NAMED: u32 = 1 << 1;
const LINE_REQUIRED: u32 = ((1 << 6) - 1) & !NAMED;

/// Reads an invoice; its lines are appended to `lines`.
#[inline(never)]
pub fn parse(text: &[u8], lines: &mut Vec<Line>) -> Result<Invoice, Malformed> {
    let mut scanner = Scanner::new(text);
    let mut invoice = Invoice::default();
    match parse_invoice(&mut scanner, &mut invoice, lines) {
        Ok(()) => Ok(invoice),
        Err(Wrong) => Err(scanner.fault()),
    }
}

#[inline(always)]
fn parse_invoice(scanner: &mut Scanner<'_>, invoice: &mut Invoice, lines: &mut Vec<Line>) -> Scan<()> {
    let seen = object(scanner, |scanner, field| {
        Ok(match field {
            INVOICE_ID => {
                invoice.invoice_id = scanner.string("invoice_id: not a string")?;
                1
            }
            STORE_ID => {
                invoice.store_id = scanner.string("store_id: not a string")?;
                1 << 1
            }
            COUNTER_ID => {
                (invoice.counter_id, invoice.counter_id_span) =
                    integer(scanner, "counter_id: not an integer of 32 bits")?;
                1 << 2
            }
            ISSUED_AT => {
                invoice.issued_at_ms = issued_at(scanner)?;
                1 << 3
            }
            CURRENCY => {
                invoice.currency = scanner.string("currency: not a string")?;
                1 << 4
            }
            CUSTOMER_ID => {
                invoice.customer_id = optional(scanner, "customer_id: neither a string nor null")?;
                CUSTOMER
            }
            PAYMENT_METHOD => {
                invoice.payment_method = scanner.string("payment_method: not a string")?;
                1 << 6
            }
            LINES => {
                parse_lines(scanner, lines)?;
                1 << 7
            }
            TOTAL => {
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
    Ok(())
}

#[inline(never)]
fn parse_lines(scanner: &mut Scanner<'_>, lines: &mut Vec<Line>) -> Scan<()> {
    scanner.expect(b'[', "lines: not an array")?;
    // A second `lines` is refused by the caller; its content does not matter.
    if scanner.pass(b']') {
        return Ok(());
    }
    loop {
        lines.push(Line::default());
        line(scanner, lines.last_mut().expect("a line was pushed"))?;
        if !scanner.pass(b',') {
            return scanner.expect(b']', "a comma or the end of an array");
        }
    }
}

#[inline(always)]
fn line(scanner: &mut Scanner<'_>, line: &mut Line) -> Scan<()> {
    let seen = object(scanner, |scanner, field| {
        Ok(match field {
            SKU => {
                line.sku = scanner.string("sku: not a string")?;
                1
            }
            LINE_NAME => {
                line.name = optional(scanner, "name: neither a string nor null")?;
                NAMED
            }
            QTY => {
                (line.quantity, line.quantity_span) = integer(scanner, "qty: not an integer of 32 bits")?;
                1 << 2
            }
            UNIT_PRICE => {
                line.unit_price = amount(scanner, "unit_price: not a number of at most two decimal places")?;
                1 << 3
            }
            DISCOUNT => {
                line.discount = amount(scanner, "discount: not a number of at most two decimal places")?;
                1 << 4
            }
            TAX => {
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
    Ok(())
}

/// An object: `read` gets each field's name and reads its value, and answers with the field's bit, 0 for a field that
/// is not listed. Returns the bits of all fields that were there.
#[inline(always)]
fn object(scanner: &mut Scanner<'_>, mut read: impl FnMut(&mut Scanner<'_>, Name) -> Scan<u32>) -> Scan<u32> {
    scanner.expect(b'{', "not an object")?;
    let mut seen = 0;
    if scanner.pass(b'}') {
        return Ok(seen);
    }
    loop {
        let field = scanner.field()?;
        let bit = read(scanner, field)?;
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

#[inline(always)]
fn optional(scanner: &mut Scanner<'_>, what: &'static str) -> Scan<Option<Text>> {
    if scanner.null()? { Ok(None) } else { scanner.string(what).map(Some) }
}

#[inline(always)]
fn integer(scanner: &mut Scanner<'_>, what: &'static str) -> Scan<(i32, Span)> {
    let number = scanner.number(what)?;
    match long(number).map(i32::try_from) {
        Some(Ok(integer)) => Ok((integer, number.span)),
        _ => scanner.wrong(what),
    }
}

#[inline(always)]
fn long(number: Number) -> Option<i64> {
    let integer = !number.strange && number.places == 0;
    integer.then_some(if number.negative { -number.digits } else { number.digits })
}

#[inline(never)]
fn amount(scanner: &mut Scanner<'_>, what: &'static str) -> Scan<Amount> {
    match money::amount(scanner.number(what)?) {
        Some(amount) => Ok(amount),
        None => scanner.wrong(what),
    }
}

fn issued_at(scanner: &mut Scanner<'_>) -> Scan<i64> {
    const WHAT: &str = "issued_at: neither ISO 8601 with an offset nor milliseconds since 1970";
    let ms = if scanner.peek() == b'"' {
        let mut buffer = Vec::new();
        time::parse(scanner.string(WHAT)?.decoded(scanner.text(), &mut buffer))
    } else {
        long(scanner.number(WHAT)?).and_then(time::in_range)
    };
    match ms {
        Some(ms) => Ok(ms),
        None => scanner.wrong(WHAT),
    }
}
