//! The normal form: one order of fields, no white space, amounts with two decimal places, time in UTC. Two invoices
//! that say the same have the same bytes, which is what a repeat is told by.
//!
//! JSON forbids leading zeros, so that a number's own text, with what is missing of its decimal places behind it, is
//! its normal form already; only the zeros with a minus sign are not.

use crate::invoice::{Invoice, Line};
use crate::json::{CHUNK, Span, Text};
use crate::money::Amount;
use crate::time;

/// Writes the invoice into `buffer` and returns it. The buffer keeps its size, so that it is cleared only once.
#[inline(never)]
pub fn write<'b>(invoice: &Invoice, lines: &[Line], text: &[u8], buffer: &'b mut Vec<u8>) -> &'b [u8] {
    // The longest that a string grows is from `\b` to `\u0008`; an amount grows by three, a line's and the invoice's
    // own names are counted, and copies write up to a chunk beyond their end.
    let most = 3 * text.len() + 128 * lines.len() + 512;
    if buffer.len() < most {
        buffer.resize(most, 0);
    }
    let mut pen = Pen { text, out: buffer, at: 0 };
    pen.put(br#"{"invoice_id":"#);
    pen.string(invoice.invoice_id);
    pen.put(br#","store_id":"#);
    pen.string(invoice.store_id);
    pen.put(br#","counter_id":"#);
    pen.integer(invoice.counter_id, invoice.counter_id_span);
    pen.put(br#","issued_at":""#);
    pen.put(&time::text(invoice.issued_at_ms));
    pen.put(br#"","currency":"#);
    pen.string(invoice.currency);
    if let Some(customer_id) = invoice.customer_id {
        pen.put(br#","customer_id":"#);
        pen.string(customer_id);
    }
    pen.put(br#","payment_method":"#);
    pen.string(invoice.payment_method);
    pen.put(br#","lines":["#);
    for line in lines {
        pen.put(br#"{"sku":"#);
        pen.string(line.sku);
        if let Some(name) = line.name {
            pen.put(br#","name":"#);
            pen.string(name);
        }
        pen.put(br#","qty":"#);
        pen.integer(line.quantity, line.quantity_span);
        pen.put(br#","unit_price":"#);
        pen.amount(line.unit_price);
        pen.put(br#","discount":"#);
        pen.amount(line.discount);
        pen.put(br#","tax":"#);
        pen.amount(line.tax);
        pen.put(b"},");
    }
    // Invoices without lines are refused before; the last comma gives way to the end.
    pen.at -= 1;
    pen.put(br#"],"total":"#);
    pen.amount(invoice.total);
    pen.put(b"}");
    let end = pen.at;
    &buffer[..end]
}

struct Pen<'a> {
    text: &'a [u8],
    out: &'a mut [u8],
    at: usize,
}

impl Pen<'_> {
    #[inline(always)]
    fn put<const N: usize>(&mut self, literal: &[u8; N]) {
        self.out[self.at..][..N].copy_from_slice(literal);
        self.at += N;
    }

    /// A piece of the text. Most are short: a chunk is copied whole, which is a few instructions where a copy of any
    /// length is a call, and what is too much is written over.
    #[inline(always)]
    fn copy(&mut self, span: Span) {
        let rest = &self.text[span.at..];
        let out = &mut self.out[self.at..];
        match (rest.first_chunk::<CHUNK>(), out.first_chunk_mut::<CHUNK>()) {
            (Some(from), Some(to)) if span.length <= CHUNK => *to = *from,
            _ => out[..span.length].copy_from_slice(&rest[..span.length]),
        }
        self.at += span.length;
    }

    #[inline(always)]
    fn string(&mut self, string: Text) {
        self.put(b"\"");
        if string.escaped {
            self.escaped(string)
        } else {
            self.copy(string.span)
        }
        self.put(b"\"");
    }

    /// A string in the one form that has no escape but the needed.
    #[inline(never)]
    fn escaped(&mut self, string: Text) {
        let mut buffer = Vec::new();
        for &byte in string.decoded(self.text, &mut buffer) {
            match byte {
                b'"' | b'\\' => self.put(&[b'\\', byte]),
                b'\n' => self.put(b"\\n"),
                b'\r' => self.put(b"\\r"),
                b'\t' => self.put(b"\\t"),
                0..=0x1f => {
                    let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
                    self.put(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
                }
                _ => self.put(&[byte]),
            }
        }
    }

    #[inline(always)]
    fn integer(&mut self, integer: i32, span: Span) {
        if integer == 0 { self.put(b"0") } else { self.copy(span) }
    }

    #[inline(always)]
    fn amount(&mut self, amount: Amount) {
        if amount.hundredths == 0 {
            return self.put(b"0.00");
        }
        self.copy(amount.span);
        match amount.places {
            0 => self.put(b".00"),
            1 => self.put(b"0"),
            _ => {}
        }
    }
}
