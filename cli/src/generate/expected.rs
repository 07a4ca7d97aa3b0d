//! What a correct pipeline must find in the files.

use super::Settings;
use std::path::Path;

/// The counts, by what each line was meant to be. `lines` is the sum of `unique`, `repeats` and the five reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The run's seed.
    pub seed: u64,
    /// Stores in the table.
    pub stores: u32,
    /// Lines of all files.
    pub lines: u64,
    /// Bytes of all lines, their ends included.
    pub bytes: u64,
    /// Invoices that are in order and came first.
    pub unique: u64,
    /// Lines that are the same as one before.
    pub repeats: u64,
    /// Refused: no JSON, or not an invoice.
    pub malformed_json: u64,
    /// Refused: the store is empty or unknown.
    pub missing_store: u64,
    /// Refused: a quantity of 0 or less, or no lines.
    pub negative_qty: u64,
    /// Refused: the total is wrong.
    pub bad_total: u64,
    /// Refused: an id that came before, with other content.
    pub conflicting_repeat: u64,
    /// Of the malformed ones, those cut inside a character.
    pub cut_in_a_character: u64,
    /// Lines that arrive an hour after they were issued, the refused among them too.
    pub an_hour_late: u64,
    /// Sum of the totals of the unique invoices, in hundredths.
    pub revenue_hundredths: i128,
}

impl Expected {
    pub(super) fn new(settings: Settings) -> Expected {
        Expected {
            seed: settings.seed,
            stores: settings.stores,
            lines: 0,
            bytes: 0,
            unique: 0,
            repeats: 0,
            malformed_json: 0,
            missing_store: 0,
            negative_qty: 0,
            bad_total: 0,
            conflicting_repeat: 0,
            cut_in_a_character: 0,
            an_hour_late: 0,
            revenue_hundredths: 0,
        }
    }

    /// The revenue with two decimal places.
    pub fn revenue(&self) -> String {
        let hundredths = self.revenue_hundredths;
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    }

    /// The content of `expected.json`.
    pub fn to_json(&self) -> String {
        format!(
            r#"{{
  "seed": {},
  "stores": {},
  "lines": {},
  "bytes": {},
  "unique": {},
  "repeats": {},
  "rejected": {{
    "malformed_json": {},
    "missing_store": {},
    "negative_qty": {},
    "bad_total": {},
    "conflicting_repeat": {}
  }},
  "revenue": "{}",
  "cut_in_a_character": {},
  "an_hour_late": {}
}}
"#,
            self.seed,
            self.stores,
            self.lines,
            self.bytes,
            self.unique,
            self.repeats,
            self.malformed_json,
            self.missing_store,
            self.negative_qty,
            self.bad_total,
            self.conflicting_repeat,
            self.revenue(),
            self.cut_in_a_character,
            self.an_hour_late,
        )
    }

    /// A few lines for a person.
    pub fn summary(&self, dir: &Path) -> String {
        let rejected = self.malformed_json
            + self.missing_store
            + self.negative_qty
            + self.bad_total
            + self.conflicting_repeat;
        format!(
            "{} lines of {} bytes on average in {}\n{} unique + {} repeats + {rejected} rejected; revenue {}",
            self.lines,
            self.bytes / self.lines.max(1),
            dir.display(),
            self.unique,
            self.repeats,
            self.revenue(),
        )
    }
}
