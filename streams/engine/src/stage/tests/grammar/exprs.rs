//! Expressions over the columns of a row, drawn by the type of what they give. None of them can fail or leaves its type for values
//! as the rigs draw them; and none depends on an order. Deep ones come of shallow ones.

use millstream_types::{Rng, SeededRng};

use super::pick;

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    /// A decimal.
    Money,
    /// A double: quarters, of which sums are exact.
    Float,
    Text,
    Bool,
    Time,
}

pub(super) const KINDS: &[Kind] = &[Kind::Int, Kind::Money, Kind::Float, Kind::Text, Kind::Bool, Kind::Time];

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

impl Column {
    pub(super) fn new(name: impl Into<String>, kind: Kind) -> Column {
        Column { name: name.into(), kind }
    }
}

/// Literals of texts, some of which need quoting or mean something to LIKE.
const TEXTS: &[&str] = &["'a'", "''", "'ab'", "'Ä ö'", "'o''x'", "'a_b'", "'日本'", "'S1'", "'100%'"];
const PATTERNS: &[&str] = &["'a%'", "'%b%'", "'_b'", "'%ö'", "'S_'", "'%'", "'100\\%'", "'%''%'", "'a\\_b'"];

pub(super) struct Exprs<'a> {
    pub(super) rng: &'a mut SeededRng,
    pub(super) columns: &'a [Column],
}

impl Exprs<'_> {
    /// The kind of one of the columns.
    pub(super) fn kind(&mut self) -> Kind {
        let at = self.rng.below(self.columns.len() as u64) as usize;
        self.columns[at].kind
    }

    /// An expression of any kind that there is a column of.
    pub(super) fn any(&mut self, depth: usize) -> String {
        let kind = self.kind();
        self.of(kind, depth)
    }

    fn has(&self, kind: Kind) -> bool {
        self.columns.iter().any(|column| column.kind == kind)
    }

    /// A column, where there is one of the kind.
    pub(super) fn column(&mut self, kind: Kind) -> String {
        let all: Vec<&Column> = self.columns.iter().filter(|column| column.kind == kind).collect();
        if !all.is_empty() {
            return pick(self.rng, &all).name.clone();
        }
        match kind {
            Kind::Bool => {
                let other = self.kind();
                format!("({} > {})", self.column(other), self.literal(other))
            }
            Kind::Money if self.has(Kind::Int) => {
                format!("CAST({} AS DECIMAL(16, 2))", self.column(Kind::Int))
            }
            Kind::Float if self.has(Kind::Int) => format!("CAST({} AS DOUBLE)", self.column(Kind::Int)),
            _ => self.literal(kind),
        }
    }

    pub(super) fn literal(&mut self, kind: Kind) -> String {
        let number = self.rng.below(19) as i64 - 9;
        match kind {
            Kind::Int => format!("({number})"),
            Kind::Money => format!("CAST({}.{:02} AS DECIMAL(10, 2))", number, self.rng.below(100)),
            Kind::Float => format!("CAST({} AS DOUBLE)", number as f64 / 4.0),
            Kind::Text => pick(self.rng, TEXTS).to_owned(),
            Kind::Bool => pick(self.rng, &["TRUE", "FALSE"]).to_owned(),
            Kind::Time => format!("TIMESTAMP '1970-01-01T00:{:02}:00Z'", 16 + self.rng.below(5)),
        }
    }

    /// An expression of a kind, at most as deep as said.
    pub(super) fn of(&mut self, kind: Kind, depth: usize) -> String {
        if depth == 0 || self.rng.chance(1, 4) {
            return if self.rng.chance(1, 12) { self.literal(kind) } else { self.column(kind) };
        }
        let less = depth - 1;
        // What there is of each kind.
        match self.rng.below(12) {
            0 => {
                let (when, then, other) =
                    (self.of(Kind::Bool, less), self.of(kind, less), self.of(kind, less));
                return format!("CASE WHEN {when} THEN {then} ELSE {other} END");
            }
            1 => {
                let (when, then) = (self.of(Kind::Bool, less), self.of(kind, less));
                return format!("CASE WHEN {when} THEN {then} END");
            }
            2 => {
                let (first, then) = (self.column(kind), self.of(kind, less));
                return format!("coalesce({first}, {then})");
            }
            3 => {
                let (first, then) = (self.of(kind, less), self.literal(kind));
                return format!("nullif({first}, {then})");
            }
            _ => {}
        }
        match kind {
            Kind::Int => self.int(less),
            Kind::Money => self.money(less),
            Kind::Float => self.float(less),
            Kind::Text => self.text(less),
            Kind::Bool => self.bool(less),
            Kind::Time => self.time(less),
        }
    }

    fn int(&mut self, less: usize) -> String {
        let divisor = 2 + self.rng.below(5);
        match self.rng.below(12) {
            0 | 1 => self.pair(Kind::Int, &["+", "-"], less),
            2 => format!("({} * {divisor})", self.of(Kind::Int, less)),
            3 => format!("({} % {divisor})", self.of(Kind::Int, less)),
            4 => format!("({} / {divisor})", self.of(Kind::Int, less)),
            5 => format!("abs({})", self.of(Kind::Int, less)),
            6 => format!("character_length({})", self.of(Kind::Text, less)),
            7 => format!("strpos({}, {})", self.of(Kind::Text, less), pick(self.rng, &["'a'", "'b'", "'S'"])),
            8 => format!("CAST({} AS INT)", self.of(Kind::Bool, less)),
            9 => format!("(- {})", self.of(Kind::Int, less)),
            10 if self.has(Kind::Time) => {
                let part = pick(self.rng, &["second", "minute"]);
                format!("CAST(date_part('{part}', {}) AS BIGINT)", self.of(Kind::Time, less))
            }
            _ => {
                let (a, b) = (self.of(Kind::Int, less), self.of(Kind::Int, less));
                format!("{}({a}, {b})", pick(self.rng, &["greatest", "least"]))
            }
        }
    }

    fn money(&mut self, less: usize) -> String {
        match self.rng.below(5) {
            0 | 1 => self.pair(Kind::Money, &["+", "-"], less),
            2 => format!("abs({})", self.of(Kind::Money, less)),
            3 => format!("CAST({} AS DECIMAL(16, 2))", self.of(Kind::Int, less)),
            _ => format!("({} * {})", self.column(Kind::Money), 2 + self.rng.below(3)),
        }
    }

    fn float(&mut self, less: usize) -> String {
        match self.rng.below(5) {
            0 | 1 => self.pair(Kind::Float, &["+", "-"], less),
            2 => format!("abs({})", self.of(Kind::Float, less)),
            3 => format!("CAST({} AS DOUBLE)", self.of(Kind::Int, less)),
            _ => format!("floor({})", self.of(Kind::Float, less)),
        }
    }

    fn text(&mut self, less: usize) -> String {
        let count = 1 + self.rng.below(4);
        match self.rng.below(12) {
            0 => format!("upper({})", self.of(Kind::Text, less)),
            1 => format!("lower({})", self.of(Kind::Text, less)),
            2 => format!("concat({}, {})", self.of(Kind::Text, less), self.of(Kind::Text, less)),
            3 => self.pair(Kind::Text, &["||"], less),
            4 => format!("substr({}, {count}, 2)", self.of(Kind::Text, less)),
            5 => format!("{}({}, {count})", pick(self.rng, &["left", "right"]), self.of(Kind::Text, less)),
            6 => format!("replace({}, {}, {})", self.of(Kind::Text, less), "'a'", self.literal(Kind::Text)),
            7 => format!("trim({})", self.of(Kind::Text, less)),
            8 => format!("lpad({}, {}, '*')", self.of(Kind::Text, less), 2 * count),
            9 => format!("reverse({})", self.of(Kind::Text, less)),
            10 => format!("split_part({}, 'a', {count})", self.of(Kind::Text, less)),
            _ => format!("CAST({} AS VARCHAR)", self.of(Kind::Int, less)),
        }
    }

    fn time(&mut self, less: usize) -> String {
        let count = 1 + self.rng.below(9);
        match self.rng.below(3) {
            0 => format!("({} + INTERVAL '{count} seconds')", self.of(Kind::Time, less)),
            1 => format!("({} - INTERVAL '{count} minutes')", self.of(Kind::Time, less)),
            _ => format!(
                "date_trunc('{}', {})",
                pick(self.rng, &["second", "minute"]),
                self.of(Kind::Time, less)
            ),
        }
    }

    pub(super) fn bool(&mut self, less: usize) -> String {
        let kinds: Vec<Kind> = KINDS.iter().copied().filter(|kind| self.has(*kind)).collect();
        let any = pick(self.rng, &kinds);
        match self.rng.below(12) {
            0 => format!("(NOT {})", self.of(Kind::Bool, less)),
            1 | 2 => self.pair(Kind::Bool, &["AND", "OR"], less),
            3 => format!("({} IS {}NULL)", self.of(any, less), pick(self.rng, &["", "NOT "])),
            4 => format!(
                "({} IS {}DISTINCT FROM {})",
                self.column(any),
                pick(self.rng, &["", "NOT "]),
                self.of(any, less)
            ),
            5 if self.has(Kind::Text) => {
                let pattern = pick(self.rng, PATTERNS);
                let not = pick(self.rng, &["", "", "NOT "]);
                format!("({} {not}LIKE {pattern})", self.of(Kind::Text, less))
            }
            6 => {
                let items: Vec<String> = (0..1 + self.rng.below(4)).map(|_| self.literal(any)).collect();
                format!("({} {}IN ({}))", self.of(any, less), pick(self.rng, &["", "NOT "]), items.join(", "))
            }
            7 => {
                let (low, high) = (self.literal(any), self.literal(any));
                let not = pick(self.rng, &["", "NOT "]);
                format!("({} {not}BETWEEN {low} AND {high})", self.of(any, less))
            }
            8 if self.has(Kind::Bool) => {
                let what = pick(self.rng, &["TRUE", "FALSE", "UNKNOWN", "NOT TRUE"]);
                format!("({} IS {what})", self.of(Kind::Bool, less))
            }
            9 if self.has(Kind::Text) => format!("starts_with({}, 'a')", self.of(Kind::Text, less)),
            _ => {
                let (first, sign) = (self.column(any), pick(self.rng, &["=", "<>", "<", "<=", ">", ">="]));
                format!(
                    "({first} {sign} {})",
                    if self.rng.chance(1, 2) { self.literal(any) } else { self.of(any, less) }
                )
            }
        }
    }

    fn pair(&mut self, kind: Kind, signs: &[&str], less: usize) -> String {
        let (a, b) = (self.of(kind, less), self.of(kind, less));
        format!("({a} {} {b})", pick(self.rng, signs))
    }

    /// What many rows fulfil, mostly.
    pub(super) fn condition(&mut self) -> String {
        let depth = 1 + self.rng.below(2) as usize;
        let drawn = self.bool(depth);
        match self.rng.below(6) {
            0 | 1 => drawn,
            2 => format!("({drawn} IS NOT TRUE)"),
            _ => format!("({drawn} OR {})", self.bool(1)),
        }
    }
}
