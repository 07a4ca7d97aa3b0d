//! An invoice as a value, and its text in the style of a till: some put spaces after commas, some escape what is not
//! ASCII, some write 88.5 and some 88.50.

use super::catalogue::Article;
use super::clock::{TimeStyle, write_time};

/// One invoice.
#[derive(Clone, Debug)]
pub(super) struct Invoice {
    /// Index of the store whose till wrote it.
    pub store: u32,
    pub counter: u32,
    /// Its number at this counter.
    pub sequence: u32,
    pub issued_at_ms: i64,
    pub customer: Option<u32>,
    pub payment: u32,
    pub lines: Vec<Line>,
    /// In hundredths.
    pub total: i64,
}

/// One line of it; amounts in hundredths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub article: Article,
    pub named: bool,
    pub quantity: i64,
    pub discount: i64,
    pub tax: i64,
}

impl Line {
    /// What the line adds to the total.
    pub(super) fn amount(&self) -> i64 {
        self.quantity * self.article.unit_price - self.discount + self.tax
    }
}

/// How a till writes amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MoneyStyle {
    /// `88.50`, `7.00`
    TwoPlaces,
    /// `88.5`, `7.0`
    OnePlace,
    /// `88.5`, `7`
    Shortest,
}

/// How a till writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    time: TimeStyle,
    money: MoneyStyle,
    spaces: bool,
    ascii: bool,
}

impl Style {
    /// A store's tills are all of one make.
    pub(super) fn of_store(store: u32) -> Style {
        let of = |time, money, spaces, ascii| Style { time, money, spaces, ascii };
        match store % 8 {
            0 | 5 => of(TimeStyle::Utc, MoneyStyle::OnePlace, false, false),
            1 => of(TimeStyle::India, MoneyStyle::TwoPlaces, false, false),
            2 => of(TimeStyle::Utc, MoneyStyle::Shortest, true, false),
            3 => of(TimeStyle::Epoch, MoneyStyle::TwoPlaces, false, true),
            4 => of(TimeStyle::India, MoneyStyle::OnePlace, true, true),
            6 => of(TimeStyle::Utc, MoneyStyle::TwoPlaces, false, false),
            _ => of(TimeStyle::Epoch, MoneyStyle::Shortest, false, false),
        }
    }

    /// The same make, but writing what is not ASCII as it is.
    pub(super) fn wide(self) -> Style {
        Style { ascii: false, ..self }
    }
}

/// What is wrong with the text of an invoice that is itself in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A required field is left out.
    MissingField,
    /// The total is in quotes.
    WrongType,
}

/// The names of stores: `S017`.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreNames {
    width: usize,
}

impl StoreNames {
    pub(super) fn new(stores: u32) -> StoreNames {
        StoreNames { width: stores.to_string().len().max(3) }
    }

    pub(super) fn name(&self, store: u32) -> String {
        format!("S{:0width$}", store + 1, width = self.width)
    }

    fn write(&self, store: u32, out: &mut Vec<u8>) {
        out.push(b'S');
        write_padded(i64::from(store) + 1, self.width, out);
    }
}

const PAYMENTS: [&str; 4] = ["card", "cash", "upi", "voucher"];

impl Invoice {
    /// Appends the text of the invoice. `store_id` replaces the till's own store where the till names another.
    pub(super) fn write(
        &self,
        style: Style,
        names: StoreNames,
        store_id: Option<&str>,
        fault: Option<Fault>,
        out: &mut Vec<u8>,
    ) {
        let mut pen = Pen { out, spaces: style.spaces };
        pen.out.push(b'{');
        pen.name("invoice_id");
        pen.out.push(b'"');
        names.write(self.store, pen.out);
        pen.out.push(b'-');
        write_integer(i64::from(self.counter), pen.out);
        pen.out.push(b'-');
        write_padded(i64::from(self.sequence), 6, pen.out);
        pen.out.push(b'"');
        pen.comma();
        pen.name("store_id");
        pen.out.push(b'"');
        match store_id {
            Some(other) => pen.out.extend_from_slice(other.as_bytes()),
            None => names.write(self.store, pen.out),
        }
        pen.out.push(b'"');
        pen.comma();
        pen.name("counter_id");
        write_integer(i64::from(self.counter), pen.out);
        pen.comma();
        pen.name("issued_at");
        write_time(self.issued_at_ms, style.time, pen.out);
        pen.comma();
        if fault != Some(Fault::MissingField) {
            pen.name("currency");
            pen.out.extend_from_slice(b"\"INR\"");
            pen.comma();
        }
        if let Some(customer) = self.customer {
            pen.name("customer_id");
            pen.out.extend_from_slice(b"\"C");
            write_integer(i64::from(customer), pen.out);
            pen.out.push(b'"');
            pen.comma();
        }
        pen.name("payment_method");
        pen.out.push(b'"');
        pen.out.extend_from_slice(PAYMENTS[self.payment as usize].as_bytes());
        pen.out.push(b'"');
        pen.comma();
        pen.name("lines");
        pen.out.push(b'[');
        for (at, line) in self.lines.iter().enumerate() {
            if at > 0 {
                pen.comma();
            }
            pen.line(line, style);
        }
        pen.out.push(b']');
        pen.comma();
        pen.name("total");
        let quote: &[u8] = if fault == Some(Fault::WrongType) { b"\"" } else { b"" };
        pen.out.extend_from_slice(quote);
        write_amount(self.total, style.money, pen.out);
        pen.out.extend_from_slice(quote);
        pen.out.push(b'}');
    }
}

struct Pen<'a> {
    out: &'a mut Vec<u8>,
    spaces: bool,
}

impl Pen<'_> {
    fn name(&mut self, name: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(if self.spaces { b"\": " } else { b"\":" });
    }

    fn comma(&mut self) {
        self.out.extend_from_slice(if self.spaces { b", " } else { b"," });
    }

    fn line(&mut self, line: &Line, style: Style) {
        self.out.push(b'{');
        self.name("sku");
        self.out.extend_from_slice(b"\"K-");
        write_integer(i64::from(line.article.number), self.out);
        self.out.push(b'"');
        self.comma();
        if line.named {
            self.name("name");
            self.out.push(b'"');
            let (good, size) = line.article.name();
            write_text(good, style.ascii, self.out);
            self.out.push(b' ');
            write_text(size, style.ascii, self.out);
            self.out.push(b'"');
            self.comma();
        }
        self.name("qty");
        write_integer(line.quantity, self.out);
        for (name, amount) in
            [("unit_price", line.article.unit_price), ("discount", line.discount), ("tax", line.tax)]
        {
            self.comma();
            self.name(name);
            write_amount(amount, style.money, self.out);
        }
        self.out.push(b'}');
    }
}

fn write_text(text: &str, ascii: bool, out: &mut Vec<u8>) {
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            ' '..='~' => out.push(character as u8),
            wide if ascii => {
                for unit in wide.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
            wide => out.extend_from_slice(wide.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn write_amount(amount: i64, style: MoneyStyle, out: &mut Vec<u8>) {
    if amount < 0 {
        out.push(b'-');
    }
    let amount = amount.abs();
    write_integer(amount / 100, out);
    let digit = |value: i64| b'0' + u8::try_from(value % 10).expect("a digit");
    let (tenths, hundredths) = (digit(amount / 10), digit(amount));
    match style {
        MoneyStyle::Shortest if (tenths, hundredths) == (b'0', b'0') => {}
        MoneyStyle::OnePlace | MoneyStyle::Shortest if hundredths == b'0' => {
            out.extend_from_slice(&[b'.', tenths]);
        }
        _ => out.extend_from_slice(&[b'.', tenths, hundredths]),
    }
}

/// Appends an integer.
pub(super) fn write_integer(integer: i64, out: &mut Vec<u8>) {
    if integer < 0 {
        out.push(b'-');
    }
    write_padded(integer.abs(), 1, out);
}

/// Appends an integer from 0 with at least so many digits.
fn write_padded(integer: i64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    let mut left = integer.unsigned_abs();
    while left > 0 {
        at -= 1;
        digits[at] = b'0' + u8::try_from(left % 10).expect("a digit");
        left /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}
