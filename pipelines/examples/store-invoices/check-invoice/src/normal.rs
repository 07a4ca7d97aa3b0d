//! The normal form: one order of fields, no white space, amounts with two decimal places, time in UTC. Two invoices
//! that say the same have the same bytes, which is what a repeat is told by.

use crate::invoice::{Invoice, Line};
use crate::{money, time};

/// Appends the invoice.
pub fn write(invoice: &Invoice<'_>, lines: &[Line<'_>], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"invoice_id":"#);
    invoice.invoice_id.write(out);
    out.extend_from_slice(br#","store_id":"#);
    invoice.store_id.write(out);
    out.extend_from_slice(br#","counter_id":"#);
    money::write_integer(invoice.counter_id, out);
    out.extend_from_slice(br#","issued_at":""#);
    time::write(invoice.issued_at_ms, out);
    out.extend_from_slice(br#"","currency":"#);
    invoice.currency.write(out);
    if let Some(customer_id) = &invoice.customer_id {
        out.extend_from_slice(br#","customer_id":"#);
        customer_id.write(out);
    }
    out.extend_from_slice(br#","payment_method":"#);
    invoice.payment_method.write(out);
    out.extend_from_slice(br#","lines":["#);
    for (at, line) in lines.iter().enumerate() {
        let start: &[u8] = if at == 0 { br#"{"sku":"# } else { br#",{"sku":"# };
        out.extend_from_slice(start);
        line.sku.write(out);
        if let Some(name) = &line.name {
            out.extend_from_slice(br#","name":"#);
            name.write(out);
        }
        out.extend_from_slice(br#","qty":"#);
        money::write_integer(line.quantity, out);
        out.extend_from_slice(br#","unit_price":"#);
        money::write(line.unit_price, out);
        out.extend_from_slice(br#","discount":"#);
        money::write(line.discount, out);
        out.extend_from_slice(br#","tax":"#);
        money::write(line.tax, out);
        out.push(b'}');
    }
    out.extend_from_slice(br#"],"total":"#);
    money::write(invoice.total, out);
    out.push(b'}');
}
