//! What a stream's schema says of its columns, as far as reading them needs it. Never enters: values.

use std::fmt;

use arrow::ipc;

use crate::column::Column;

/// A column of the stream, or a part of one.
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    pub(super) children: Vec<Field<'a>>,
    pub(super) dictionary: Option<Dictionary>,
}

/// That values are places in a dictionary: its id, and the integers that the places are.
#[derive(Clone, Copy)]
pub(super) struct Dictionary {
    pub(super) id: i64,
    pub(super) place: Int,
}

/// An integer's form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Int {
    pub(super) bytes: usize,
    pub(super) signed: bool,
}

/// A type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Int(Int),
    /// Of so many bytes: 2, 4, 8.
    Float(usize),
    /// Of so many bytes: 4, 8, 16, 32; with so many digits behind the point.
    Decimal(usize, i32),
    /// Days since 1970.
    Date32,
    /// Milliseconds since 1970.
    Date64,
    /// Time since 1970, in this many to the second.
    Timestamp(i64),
    /// Bytes, or text, whose ends are of 64 bits where they are `wide`.
    Bytes {
        text: bool,
        wide: bool,
    },
    View {
        text: bool,
    },
    FixedBytes(usize),
    List {
        wide: bool,
    },
    FixedList(usize),
    Map,
    Struct,
    /// What no column takes, and how it is passed over: by its name, and how many buffers it has.
    Other(&'static str, usize),
    Union {
        dense: bool,
    },
    RunEnds,
}

impl<'a> Field<'a> {
    /// Whether a column of ours takes such values.
    pub(super) fn is_taken(&self) -> bool {
        !matches!(self.kind, Kind::Other(..) | Kind::Union { .. } | Kind::RunEnds)
    }

    /// A column as the stream's schema has it; what is wrong with it.
    pub(super) fn read(field: ipc::Field<'a>) -> Result<Field<'a>, String> {
        let name = field.name().unwrap_or("");
        let kind = kind_of(field).ok_or_else(|| {
            let kind = field.type_type();
            format!(
                "column {name} is of a type that is not known here: {}",
                kind.variant_name().unwrap_or("?")
            )
        })?;
        let children = field.children().map_or(Vec::new(), |children| children.iter().collect());
        let children: Vec<Field<'a>> = children.into_iter().map(Field::read).collect::<Result<_, _>>()?;
        let wanted = match kind {
            Kind::List { .. } | Kind::FixedList(_) | Kind::Map | Kind::Other("list_view", _) => Some(1),
            Kind::RunEnds => Some(2),
            Kind::Struct | Kind::Union { .. } => None,
            _ => Some(0),
        };
        if wanted.is_some_and(|wanted| wanted != children.len()) {
            return Err(format!("column {name} is a {kind} and has {} columns in it", children.len()));
        }
        let dictionary = match field.dictionary() {
            None => None,
            Some(of) => {
                let place = match of.indexType() {
                    None => Int { bytes: 4, signed: true },
                    Some(int) => {
                        int_of(int).ok_or_else(|| format!("column {name} has no places in its dictionary"))?
                    }
                };
                Some(Dictionary { id: of.id(), place })
            }
        };
        Ok(Field { name, kind, children, dictionary })
    }

    /// Whether values may be the column's; which of them are, their bytes say.
    pub(super) fn fits(&self, column: &Column) -> Result<(), String> {
        let fits = match (self.kind, column) {
            (Kind::Null, _) => true,
            (Kind::Bool, Column::Bool(_)) => true,
            (
                Kind::Int(_),
                Column::Int32(_)
                | Column::Int64(_)
                | Column::Float(_)
                | Column::Decimal { .. }
                | Column::Date(_)
                | Column::Instant(_)
                | Column::Micros(_),
            ) => true,
            (Kind::Float(_), Column::Float(_)) => true,
            (Kind::Decimal(..), Column::Decimal { .. }) => true,
            (Kind::Date32 | Kind::Date64, Column::Date(_)) => true,
            (Kind::Timestamp(_), Column::Instant(_) | Column::Micros(_)) => true,
            (Kind::Bytes { text: true, .. } | Kind::View { text: true }, column) => matches!(
                column,
                Column::Text(_)
                    | Column::Bytes(_)
                    | Column::Instant(_)
                    | Column::Micros(_)
                    | Column::Date(_)
                    | Column::Decimal { .. }
            ),
            (
                Kind::Bytes { .. } | Kind::View { .. } | Kind::FixedBytes(_),
                Column::Text(_) | Column::Bytes(_),
            ) => true,
            (Kind::Struct, Column::Struct { object, .. }) => return self.fields_fit(&object.declared),
            (Kind::List { .. } | Kind::FixedList(_), Column::List { item, .. }) => {
                return self.children[0].fits(item);
            }
            (Kind::Map, Column::List { item, .. }) if self.children[0].kind == Kind::Struct => {
                return self.children[0].fits(item);
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("of type {self}, and {} is declared", declared(column))) }
    }

    /// Whether the columns of a struct fit those that are declared.
    fn fields_fit(&self, declared: &[crate::object::Declared]) -> Result<(), String> {
        for declared in declared {
            if let Some(child) = find(&self.children, &declared.name)? {
                child
                    .fits(&declared.column)
                    .map_err(|why| format!("{self}, in which {} is {why}", declared.path))?;
            }
        }
        Ok(())
    }
}

/// The column of a name; that there are several.
pub(super) fn find<'f, 'a>(fields: &'f [Field<'a>], name: &str) -> Result<Option<&'f Field<'a>>, String> {
    let mut found = fields.iter().filter(|field| field.name == name);
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        _ => Err(format!("there are several columns of the name {name}")),
    }
}

fn int_of(int: ipc::Int<'_>) -> Option<Int> {
    let bytes = match int.bitWidth() {
        8 => 1,
        16 => 2,
        32 => 4,
        64 => 8,
        _ => return None,
    };
    Some(Int { bytes, signed: int.is_signed() })
}

fn kind_of(field: ipc::Field<'_>) -> Option<Kind> {
    let bytes = |text, wide| Some(Kind::Bytes { text, wide });
    match field.type_type() {
        ipc::Type::Null => Some(Kind::Null),
        ipc::Type::Bool => Some(Kind::Bool),
        ipc::Type::Int => int_of(field.type_as_int()?).map(Kind::Int),
        ipc::Type::FloatingPoint => Some(Kind::Float(match field.type_as_floating_point()?.precision() {
            ipc::Precision::HALF => 2,
            ipc::Precision::SINGLE => 4,
            ipc::Precision::DOUBLE => 8,
            _ => return None,
        })),
        ipc::Type::Decimal => {
            let of = field.type_as_decimal()?;
            let bytes = match of.bitWidth() {
                32 => 4,
                64 => 8,
                128 => 16,
                256 => 32,
                _ => return None,
            };
            Some(Kind::Decimal(bytes, of.scale()))
        }
        ipc::Type::Date => match field.type_as_date()?.unit() {
            ipc::DateUnit::DAY => Some(Kind::Date32),
            ipc::DateUnit::MILLISECOND => Some(Kind::Date64),
            _ => None,
        },
        ipc::Type::Timestamp => Some(Kind::Timestamp(match field.type_as_timestamp()?.unit() {
            ipc::TimeUnit::SECOND => 1,
            ipc::TimeUnit::MILLISECOND => 1_000,
            ipc::TimeUnit::MICROSECOND => 1_000_000,
            ipc::TimeUnit::NANOSECOND => 1_000_000_000,
            _ => return None,
        })),
        ipc::Type::Utf8 => bytes(true, false),
        ipc::Type::LargeUtf8 => bytes(true, true),
        ipc::Type::Binary => bytes(false, false),
        ipc::Type::LargeBinary => bytes(false, true),
        ipc::Type::Utf8View => Some(Kind::View { text: true }),
        ipc::Type::BinaryView => Some(Kind::View { text: false }),
        ipc::Type::FixedSizeBinary => {
            usize::try_from(field.type_as_fixed_size_binary()?.byteWidth()).ok().map(Kind::FixedBytes)
        }
        ipc::Type::List => Some(Kind::List { wide: false }),
        ipc::Type::LargeList => Some(Kind::List { wide: true }),
        ipc::Type::FixedSizeList => {
            usize::try_from(field.type_as_fixed_size_list()?.listSize()).ok().map(Kind::FixedList)
        }
        ipc::Type::Map => Some(Kind::Map),
        ipc::Type::Struct_ => Some(Kind::Struct),
        ipc::Type::Time => Some(Kind::Other("time", 2)),
        ipc::Type::Duration => Some(Kind::Other("duration", 2)),
        ipc::Type::Interval => Some(Kind::Other("interval", 2)),
        ipc::Type::ListView | ipc::Type::LargeListView => Some(Kind::Other("list_view", 3)),
        ipc::Type::Union => match field.type_as_union()?.mode() {
            ipc::UnionMode::Dense => Some(Kind::Union { dense: true }),
            ipc::UnionMode::Sparse => Some(Kind::Union { dense: false }),
            _ => None,
        },
        ipc::Type::RunEndEncoded => Some(Kind::RunEnds),
        _ => None,
    }
}

/// The type of a column as a pipeline's file says it.
fn declared(column: &Column) -> String {
    match column {
        Column::Text(_) => "string".to_owned(),
        Column::Bool(_) => "bool".to_owned(),
        Column::Int32(_) => "int32".to_owned(),
        Column::Int64(_) => "int64".to_owned(),
        Column::Float(_) => "float64".to_owned(),
        Column::Decimal { precision, scale, .. } => format!("decimal({precision}, {scale})"),
        Column::Instant(_) => "timestamp_ms".to_owned(),
        Column::Micros(_) => "timestamp_us".to_owned(),
        Column::Date(_) => "date".to_owned(),
        Column::Bytes(_) => "bytes".to_owned(),
        Column::Struct { .. } => "struct".to_owned(),
        Column::List { item, .. } => format!("list of {}", declared(item)),
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dictionary.is_some() {
            f.write_str("dictionary of ")?;
        }
        self.kind.fmt(f)?;
        match self.children.as_slice() {
            [item] if !matches!(self.kind, Kind::Struct | Kind::Union { .. }) => write!(f, " of {item}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let large = |wide: bool| if wide { "large_" } else { "" };
        match *self {
            Kind::Null => f.write_str("null"),
            Kind::Bool => f.write_str("bool"),
            Kind::Int(Int { bytes, signed }) => {
                write!(f, "{}int{}", if signed { "" } else { "u" }, bytes * 8)
            }
            Kind::Float(bytes) => write!(f, "float{}", bytes * 8),
            Kind::Decimal(bytes, scale) => write!(f, "decimal{} of scale {scale}", bytes * 8),
            Kind::Date32 => f.write_str("date32"),
            Kind::Date64 => f.write_str("date64"),
            Kind::Timestamp(per_second) => {
                let unit = match per_second {
                    1 => "s",
                    1_000 => "ms",
                    1_000_000 => "us",
                    _ => "ns",
                };
                write!(f, "timestamp[{unit}]")
            }
            Kind::Bytes { text: true, wide } => write!(f, "{}utf8", large(wide)),
            Kind::Bytes { text: false, wide } => write!(f, "{}binary", large(wide)),
            Kind::View { text } => f.write_str(if text { "utf8_view" } else { "binary_view" }),
            Kind::FixedBytes(width) => write!(f, "fixed_size_binary[{width}]"),
            Kind::List { wide } => write!(f, "{}list", large(wide)),
            Kind::FixedList(size) => write!(f, "fixed_size_list[{size}]"),
            Kind::Map => f.write_str("map"),
            Kind::Struct => f.write_str("struct"),
            Kind::Other(name, _) => f.write_str(name),
            Kind::Union { .. } => f.write_str("union"),
            Kind::RunEnds => f.write_str("run_end_encoded"),
        }
    }
}
