//! The store-invoice check: one invoice in as JSON, the same invoice out in one normal form with its store as the
//! key, or the first reason that refuses it. In this order:
//!
//! 1. `malformed_json`: not UTF-8, not one JSON object, a required field missing, given twice or of the wrong type;
//! 2. `missing_store`: the store is empty or not in the table `stores`;
//! 3. `negative_qty`: a line with a quantity of 0 or less, or no lines;
//! 4. `bad_total`: the total is not the sum of quantity x unit price - discount + tax.
//!
//! Never enters: repeats (the pipeline's `dedupe`), and any arithmetic in floating point.

mod invoice;
mod json;
mod money;
mod normal;
mod time;

use invoice::{Invoice, Line};
use json::Malformed;
use millstream_function::{Context, Failure, Function, Message, Output};

/// The check. It keeps the buffers that it parses into.
#[derive(Default)]
pub struct CheckInvoice {
    /// Decoded text of a store id that was written with escapes.
    store_id: Vec<u8>,
    lines: Vec<Line>,
    /// Where the normal form is written.
    normal: Vec<u8>,
}

impl Function for CheckInvoice {
    fn init(_: &mut Context) -> Result<CheckInvoice, Failure> {
        Ok(CheckInvoice::default())
    }

    fn process(
        &mut self,
        message: &Message<'_>,
        context: &mut Context,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let text = message.value.ok_or_else(|| Failure::new("malformed_json", "the record has no value"))?;
        self.lines.clear();
        let invoice = invoice::parse(text, &mut self.lines).map_err(|why| malformed(&why))?;
        let store = invoice.store_id.decoded(text, &mut self.store_id);
        check(&invoice, &self.lines, store, context)?;
        let normal = normal::write(&invoice, &self.lines, text, &mut self.normal);
        output.emit_with(Some(store), invoice.issued_at_ms, |out| out.extend_from_slice(normal));
        Ok(())
    }
}

/// The checks of an invoice that is well made.
#[inline(never)]
fn check(invoice: &Invoice, lines: &[Line], store: &[u8], context: &mut Context) -> Result<(), Failure> {
    if store.is_empty() {
        return Err(Failure::new("missing_store", "store_id is empty"));
    }
    if context.lookup("stores", store).is_none() {
        let store = String::from_utf8_lossy(store);
        return Err(Failure::new("missing_store", format!("store `{store}` is not in the table `stores`")));
    }
    if lines.is_empty() {
        return Err(Failure::new("negative_qty", "the invoice has no lines"));
    }
    if let Some(at) = lines.iter().position(|line| line.quantity <= 0) {
        let quantity = lines[at].quantity;
        return Err(Failure::new("negative_qty", format!("line {}: the quantity is {quantity}", at + 1)));
    }
    let mut sum: i128 = 0;
    for line in lines {
        let (tax, discount) = (line.tax.hundredths, line.discount.hundredths);
        sum += money::times(line.quantity, line.unit_price.hundredths) + i128::from(tax - discount);
    }
    let total = i128::from(invoice.total.hundredths);
    if sum != total {
        let (sum, total) = (money::text(sum), money::text(total));
        return Err(Failure::new("bad_total", format!("the lines add up to {sum}, the total is {total}")));
    }
    Ok(())
}

#[cold]
fn malformed(why: &Malformed) -> Failure {
    Failure::new("malformed_json", format!("at byte {}: {}", why.at, why.what))
}

millstream_function::export!(CheckInvoice);
