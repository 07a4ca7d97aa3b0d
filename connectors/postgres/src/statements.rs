//! SQL text: made from the config and the columns of the rows. Names are always quoted. Never enters: running it.

use arrow_schema::{DataType, Schema};

use crate::config::{Mode, PostgresSinkConfig};

/// A name in double quotes.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

/// The user's table, quoted, with its schema.
pub fn table(config: &PostgresSinkConfig) -> String {
    quoted_table(&config.table)
}

fn quoted_table(table: &str) -> String {
    table.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

/// Gives the rows of keys as JSON objects with these columns, each row once; the keys are parameter 1, a JSON array of objects.
pub fn find(table: &str, key: &[String], columns: &Schema) -> String {
    // As what the column is declared to be. A decimal keeps its digits, however many are declared.
    let column = |field: &arrow_schema::Field| {
        let name = quoted(field.name());
        match field.data_type() {
            DataType::Decimal128(..) => format!("t.{name}::numeric AS {name}"),
            DataType::Binary | DataType::LargeBinary => {
                format!("translate(encode(t.{name}, 'base64'), E'\\n', '') AS {name}")
            }
            DataType::Timestamp(..) => format!("t.{name}::timestamptz AS {name}"),
            DataType::List(_) | DataType::Struct(_) => format!("to_json(t.{name}) AS {name}"),
            // A cast would round what has a fraction.
            other if other.is_integer() => format!("t.{name}"),
            other => format!("t.{name}::{} AS {name}", type_of(other)),
        }
    };
    let selected: Vec<String> = columns.fields().iter().map(|field| column(field)).collect();
    let typed = |name: &String| {
        let kind = columns.field_with_name(name).map_or("text".to_owned(), |field| match field.data_type() {
            DataType::Decimal128(..) => "numeric".to_owned(),
            other => type_of(other),
        });
        format!("{} {kind}", quoted(name))
    };
    let typed: Vec<String> = key.iter().map(typed).collect();
    let same: Vec<String> = key.iter().map(|name| format!("t.{0} = k.{0}", quoted(name))).collect();
    format!(
        "SELECT row_to_json(_millstream_row)::text FROM (SELECT {} FROM {} AS t WHERE EXISTS \
         (SELECT 1 FROM json_to_recordset($1::text::json) AS k({}) WHERE {})) AS _millstream_row",
        selected.join(", "),
        quoted_table(table),
        typed.join(", "),
        same.join(" AND ")
    )
}

/// The column of the temporary table that keeps the rows' order.
const ORDER: &str = "_millstream_row";

fn type_of(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint".into(),
        DataType::UInt16 | DataType::Int32 => "integer".into(),
        DataType::UInt32 | DataType::Int64 => "bigint".into(),
        DataType::UInt64 => "numeric(20, 0)".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal128(precision, scale) => format!("numeric({precision}, {scale})"),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Binary | DataType::LargeBinary => "bytea".into(),
        _ => "text".into(),
    }
}

/// Makes the user's table where it is not there.
pub fn create_table(config: &PostgresSinkConfig, columns: &Schema) -> String {
    let mut parts: Vec<String> = columns
        .fields()
        .iter()
        .map(|field| {
            let null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {}{null}", quoted(field.name()), type_of(field.data_type()))
        })
        .collect();
    if !config.key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", list(config.key.iter().map(String::as_str))));
    }
    format!("CREATE TABLE IF NOT EXISTS {} ({})", table(config), parts.join(", "))
}

/// Makes the temporary table `name`: the target's own types of these columns, none of its constraints, and an order.
pub fn create_stage(config: &PostgresSinkConfig, name: &str, columns: &[&str]) -> String {
    format!(
        "CREATE TEMP TABLE {} ON COMMIT DELETE ROWS AS SELECT {}, 0::bigint AS {} FROM {} WITH NO DATA",
        quoted(name),
        list(columns.iter().copied()),
        quoted(ORDER),
        table(config)
    )
}

/// Reads rows into `target`, a quoted name.
pub fn copy(target: &str, columns: &[&str], ordered: bool) -> String {
    let order = if ordered { format!(", {}", quoted(ORDER)) } else { String::new() };
    format!("COPY {target} ({}{order}) FROM STDIN", list(columns.iter().copied()))
}

/// Brings the temporary table's rows into the user's: the last of each key.
pub fn merge(config: &PostgresSinkConfig, stage: &str, columns: &[&str]) -> String {
    let all = list(columns.iter().copied());
    let (target, stage) = (table(config), quoted(stage));
    if config.mode == Mode::Insert {
        return format!("INSERT INTO {target} ({all}) SELECT {all} FROM {stage} ORDER BY {}", quoted(ORDER));
    }
    let key = list(config.key.iter().map(String::as_str));
    let sets: Vec<String> = columns
        .iter()
        .filter(|name| !config.key.iter().any(|key| key == *name))
        .map(|name| format!("{0} = excluded.{0}", quoted(name)))
        .collect();
    let action =
        if sets.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", sets.join(", ")) };
    format!(
        "INSERT INTO {target} ({all}) SELECT DISTINCT ON ({key}) {all} FROM {stage} ORDER BY {key}, {} DESC \
         ON CONFLICT ({key}) DO {action}",
        quoted(ORDER)
    )
}

/// Deletes the rows whose keys are in the temporary table.
pub fn delete(config: &PostgresSinkConfig, stage: &str) -> String {
    let same: Vec<String> = config.key.iter().map(|key| format!("t.{0} = s.{0}", quoted(key))).collect();
    format!("DELETE FROM {} t USING {} s WHERE {}", table(config), quoted(stage), same.join(" AND "))
}
