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
    /// Capacity only; empty between two records.
    lines: Vec<Line<'static>>,
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
        let mut lines = lend(std::mem::take(&mut self.lines));
        let checked = match invoice::parse(text, &mut lines) {
            Ok(invoice) => check(&invoice, &lines, context, &mut self.store_id, output, text.len()),
            Err(why) => Err(malformed(&why)),
        };
        self.lines = lend(lines);
        checked
    }
}

/// The same allocation for lines of another lifetime: an empty vector's elements have none.
fn lend<'a>(mut lines: Vec<Line<'_>>) -> Vec<Line<'a>> {
    lines.clear();
    lines.into_iter().map(|_| unreachable!("the vector was cleared")).collect()
}

fn check(
    invoice: &Invoice<'_>,
    lines: &[Line<'_>],
    context: &mut Context,
    store_id: &mut Vec<u8>,
    output: &mut Output,
    text_bytes: usize,
) -> Result<(), Failure> {
    let store = invoice.store_id.decoded(store_id);
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
        sum +=
            money::times(line.quantity, line.unit_price) + i128::from(line.tax) - i128::from(line.discount);
    }
    if sum != i128::from(invoice.total) {
        let (sum, total) = (money::text(sum), money::text(i128::from(invoice.total)));
        return Err(Failure::new("bad_total", format!("the lines add up to {sum}, the total is {total}")));
    }
    output.emit_with(Some(store), invoice.issued_at_ms, |out| {
        out.reserve(text_bytes + 32 * lines.len() + 64);
        normal::write(invoice, lines, out);
    });
    Ok(())
}

#[cold]
fn malformed(why: &Malformed) -> Failure {
    Failure::new("malformed_json", format!("at byte {}: {}", why.at, why.what))
}

millstream_function::export!(CheckInvoice);
