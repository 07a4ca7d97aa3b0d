//! The day, line by line in the order of arrival: which till, what it sells, what goes wrong, and what a pipeline
//! must make of it.

use super::Settings;
use super::catalogue::{ARTICLES, Article, Zipf, city};
use super::clock::{PART_MS, START_MS, span_ms};
use super::expected::Expected;
use super::files::Place;
use super::invoice::{Fault, Invoice, Line, StoreNames, Style};
use millstream_types::{Rng, SeededRng};

/// Tills of a store.
const COUNTERS: u32 = 5;
/// Originals that a repeat is chosen from.
const REMEMBERED: usize = 1024;
/// Of so many lines, how many are of each kind but the good one.
const OF: u64 = 100_000;
const REPEATS: u64 = 500;
const CONFLICTS: u64 = 20;
const CUT_ANYWHERE: u64 = 150;
const CUT_IN_CHARACTER: u64 = 100;
const MISSING_FIELD: u64 = 30;
const WRONG_TYPE: u64 = 20;
const UNKNOWN_STORE: u64 = 180;
const NO_STORE: u64 = 20;
const QUANTITY: u64 = 210;
const NO_LINES: u64 = 40;
const WRONG_TOTAL: u64 = 250;
/// Of so many lines, one arrives an hour late.
const LATE_ONE_OF: u64 = 2_000;
/// Weights of 1, 2, 3 … lines; invoices are 680 bytes on average with these.
const LINE_WEIGHTS: [u32; 25] =
    [120, 155, 160, 138, 110, 84, 63, 47, 34, 25, 18, 13, 10, 7, 5, 4, 3, 3, 2, 2, 2, 1, 1, 1, 1];

/// What a line is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Repeat,
    Conflict,
    CutAnywhere,
    CutInCharacter,
    Text(Fault),
    UnknownStore,
    NoStore,
    Quantity,
    NoLines,
    WrongTotal,
}

/// A good line that may come again.
#[derive(Debug)]
struct Original {
    invoice: Invoice,
    part: u32,
}

/// The simulation.
#[derive(Debug)]
pub(super) struct Day {
    settings: Settings,
    rng: SeededRng,
    names: StoreNames,
    /// Stores by rank.
    ranked: Vec<u32>,
    store_ranks: Zipf,
    articles: Zipf,
    /// Last invoice number of each counter of each store.
    sequences: Vec<u32>,
    remembered: Vec<Original>,
    spare_lines: Vec<Line>,
    line_weights: u64,
    span_ms: u64,
    expected: Expected,
}

impl Day {
    pub(super) fn new(settings: Settings) -> Day {
        let mut rng = SeededRng::new(settings.seed);
        let mut ranked: Vec<u32> = (0..settings.stores).collect();
        for at in (1..ranked.len()).rev() {
            ranked.swap(at, rng.below(at as u64 + 1) as usize);
        }
        Day {
            settings,
            rng,
            names: StoreNames::new(settings.stores),
            ranked,
            store_ranks: Zipf::new(settings.stores),
            articles: Zipf::new(ARTICLES),
            sequences: vec![0; (settings.stores * COUNTERS) as usize],
            remembered: Vec::new(),
            spare_lines: Vec::new(),
            line_weights: LINE_WEIGHTS.iter().map(|weight| u64::from(*weight)).sum(),
            span_ms: span_ms(settings.lines),
            expected: Expected::new(settings),
        }
    }

    /// The store table.
    pub(super) fn stores_csv(&self) -> String {
        let mut text = String::from("store_id,store_name,city,region\n");
        for store in 0..self.settings.stores {
            let (city, region) = city(store);
            let id = self.names.name(store);
            text.push_str(&format!("{id},{city} {},{city},{region}\n", store / 40 + 1));
        }
        text
    }

    /// What the lines so far are meant to be.
    pub(super) fn expected(&self) -> Expected {
        self.expected.clone()
    }

    /// Appends the next line, without its end, and says where it goes.
    pub(super) fn next_line(&mut self, out: &mut Vec<u8>) -> Place {
        let done = self.expected.lines;
        let arrival_ms = self.span_ms * done / self.settings.lines;
        let part = (arrival_ms / PART_MS as u64) as u32;
        self.expected.lines += 1;
        let mut kind = self.kind();
        let original = self.remembered.len().checked_sub(1).map(|_| {
            let at = self.rng.below(self.remembered.len() as u64) as usize;
            let original = &self.remembered[at];
            // Between two files of a store there is no order, so what conflicts comes in the file of its original.
            (kind == Kind::Repeat || (kind == Kind::Conflict && original.part == part))
                .then(|| original.invoice.clone())
        });
        let store = match original.flatten() {
            Some(invoice) => self.again(invoice, kind == Kind::Conflict, out),
            None => {
                if matches!(kind, Kind::Repeat | Kind::Conflict) {
                    kind = Kind::Good;
                }
                self.fresh(kind, arrival_ms, part, out)
            }
        };
        self.expected.bytes += out.len() as u64 + 1;
        Place { store, part }
    }

    fn kind(&mut self) -> Kind {
        let kinds = [
            (REPEATS, Kind::Repeat),
            (CONFLICTS, Kind::Conflict),
            (CUT_ANYWHERE, Kind::CutAnywhere),
            (CUT_IN_CHARACTER, Kind::CutInCharacter),
            (MISSING_FIELD, Kind::Text(Fault::MissingField)),
            (WRONG_TYPE, Kind::Text(Fault::WrongType)),
            (UNKNOWN_STORE, Kind::UnknownStore),
            (NO_STORE, Kind::NoStore),
            (QUANTITY, Kind::Quantity),
            (NO_LINES, Kind::NoLines),
            (WRONG_TOTAL, Kind::WrongTotal),
        ];
        let mut drawn = self.rng.below(OF);
        for (share, kind) in kinds {
            match drawn.checked_sub(share) {
                Some(left) => drawn = left,
                None => return kind,
            }
        }
        Kind::Good
    }

    /// A line that came before: the same, or with the same id and other content.
    fn again(&mut self, mut invoice: Invoice, conflict: bool, out: &mut Vec<u8>) -> u32 {
        if conflict {
            // One more of the first article, correctly added up.
            invoice.lines[0].quantity += 1;
            invoice.total += invoice.lines[0].article.unit_price;
            self.expected.conflicting_repeat += 1;
        } else {
            self.expected.repeats += 1;
        }
        invoice.write(Style::of_store(invoice.store), self.names, None, None, out);
        invoice.store
    }

    fn fresh(&mut self, kind: Kind, arrival_ms: u64, part: u32, out: &mut Vec<u8>) -> u32 {
        let mut invoice = self.sale(arrival_ms);
        let store = invoice.store;
        let mut style = Style::of_store(store);
        let mut store_id = None;
        let mut fault = None;
        match kind {
            Kind::CutInCharacter => {
                style = style.wide();
                let line = &mut invoice.lines[0];
                invoice.total -= line.amount();
                line.article = line.article.with_wide_name();
                line.named = true;
                invoice.total += line.amount();
            }
            Kind::Text(what) => fault = Some(what),
            Kind::UnknownStore => store_id = Some(format!("X{:03}", self.rng.below(50))),
            Kind::NoStore => store_id = Some(String::new()),
            Kind::Quantity => {
                let at = self.rng.below(invoice.lines.len() as u64) as usize;
                let line = &mut invoice.lines[at];
                invoice.total -= line.amount();
                line.quantity = -(self.rng.below(4) as i64);
                invoice.total += line.amount();
            }
            Kind::NoLines => {
                invoice.lines.clear();
                invoice.total = 0;
            }
            Kind::WrongTotal => {
                let off = [1, -1, 10, 100, -100, 5_000][self.rng.below(6) as usize];
                invoice.total += off;
            }
            Kind::Good | Kind::Repeat | Kind::Conflict | Kind::CutAnywhere => {}
        }
        invoice.write(style, self.names, store_id.as_deref(), fault, out);
        let expected = &mut self.expected;
        match kind {
            Kind::CutAnywhere => {
                out.truncate(1 + self.rng.below(out.len() as u64 - 1) as usize);
                expected.malformed_json += 1;
            }
            Kind::CutInCharacter => {
                let inside: Vec<usize> = (0..out.len()).filter(|at| out[*at] & 0xc0 == 0x80).collect();
                out.truncate(inside[self.rng.below(inside.len() as u64) as usize]);
                expected.malformed_json += 1;
                expected.cut_in_a_character += 1;
            }
            Kind::Text(_) => expected.malformed_json += 1,
            Kind::UnknownStore | Kind::NoStore => expected.missing_store += 1,
            Kind::Quantity | Kind::NoLines => expected.negative_qty += 1,
            Kind::WrongTotal => expected.bad_total += 1,
            Kind::Good | Kind::Repeat | Kind::Conflict => {
                expected.unique += 1;
                expected.revenue_hundredths += i128::from(invoice.total);
                self.remember(invoice, part);
                return store;
            }
        }
        self.spare_lines = invoice.lines;
        store
    }

    /// Keeps every eighth good invoice for a while.
    fn remember(&mut self, invoice: Invoice, part: u32) {
        if !self.expected.unique.is_multiple_of(8) {
            self.spare_lines = invoice.lines;
        } else if self.remembered.len() < REMEMBERED {
            self.remembered.push(Original { invoice, part });
        } else {
            let at = (self.expected.unique / 8) as usize % REMEMBERED;
            self.spare_lines =
                std::mem::replace(&mut self.remembered[at], Original { invoice, part }).invoice.lines;
        }
    }

    /// A sale that is in order.
    fn sale(&mut self, arrival_ms: u64) -> Invoice {
        let rng = &mut self.rng;
        let store = self.ranked[self.store_ranks.choose(rng) as usize];
        let counter = rng.below(u64::from(COUNTERS)) as u32;
        let sequence = &mut self.sequences[(store * COUNTERS + counter) as usize];
        *sequence += 1;
        let mut delay_ms = rng.below(90_000);
        if rng.below(LATE_ONE_OF) == 0 {
            delay_ms += 3_600_000;
            self.expected.an_hour_late += 1;
        }
        let mut drawn = rng.below(self.line_weights);
        let mut count = 0;
        while let Some(left) = drawn.checked_sub(u64::from(LINE_WEIGHTS[count])) {
            drawn = left;
            count += 1;
        }
        let mut lines = std::mem::take(&mut self.spare_lines);
        lines.clear();
        for _ in 0..=count {
            // One draw for all that is small.
            let bits = rng.next_u64();
            let article = Article::of_rank(self.articles.choose(rng));
            let quantity = match bits & 63 {
                0..40 => 1,
                40..54 => 2,
                54..62 => 3 + (bits >> 8 & 3) as i64,
                _ => 12 + (bits >> 8 & 31) as i64,
            };
            let gross = quantity * article.unit_price;
            let discount = match bits >> 16 & 15 {
                0..12 => 0,
                percent => gross * (percent as i64 - 11) * 5 / 100,
            };
            let tax = ((gross - discount) * article.tax_percent + 50) / 100;
            lines.push(Line { article, named: bits >> 24 & 15 != 0, quantity, discount, tax });
        }
        let bits = rng.next_u64();
        Invoice {
            store,
            counter: counter + 1,
            sequence: *sequence,
            issued_at_ms: START_MS + arrival_ms as i64 - delay_ms as i64,
            customer: (bits & 7 < 5).then_some((bits >> 8 & 0xf_ffff) as u32),
            payment: (bits >> 40 & 3) as u32,
            total: lines.iter().map(Line::amount).sum(),
            lines,
        }
    }
}
