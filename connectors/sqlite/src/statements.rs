//! SQL text for the user's table: made from the config and the columns of the rows. Names are always quoted. Never
//! enters: running it.

use arrow_schema::{DataType, Schema};

use crate::config::{Decimals, Mode, SqliteSinkConfig};

/// A name in double quotes, as SQL wants it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

/// SQLite's type for a column. Times and days are ISO-8601 text in UTC, which sorts and which SQLite's date functions
/// read.
fn type_of(data_type: &DataType, decimals: Decimals) -> &'static str {
    match data_type {
        DataType::Boolean => "INTEGER",
        data_type if data_type.is_integer() => "INTEGER",
        data_type if data_type.is_floating() => "REAL",
        DataType::Decimal128(_, _) if decimals == Decimals::ScaledInteger => "INTEGER",
        DataType::Binary | DataType::LargeBinary => "BLOB",
        _ => "TEXT",
    }
}

/// Makes the table where it is not there.
pub fn create_table(config: &SqliteSinkConfig, columns: &Schema) -> String {
    let mut parts: Vec<String> = columns
        .fields()
        .iter()
        .map(|field| {
            let null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {}{null}", quoted(field.name()), type_of(field.data_type(), config.decimals))
        })
        .collect();
    if !config.key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", list(config.key.iter().map(String::as_str))));
    }
    format!("CREATE TABLE IF NOT EXISTS {} ({})", quoted(&config.table), parts.join(", "))
}

/// Writes one row; parameters in the order of the columns.
pub fn write_row(config: &SqliteSinkConfig, columns: &Schema) -> String {
    let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
    let marks = vec!["?"; names.len()].join(", ");
    let insert =
        format!("INSERT INTO {} ({}) VALUES ({marks})", quoted(&config.table), list(names.iter().copied()));
    if config.mode == Mode::Insert {
        return insert;
    }
    let sets: Vec<String> = names
        .iter()
        .filter(|name| !config.key.iter().any(|key| key == *name))
        .map(|name| format!("{0} = excluded.{0}", quoted(name)))
        .collect();
    let action =
        if sets.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", sets.join(", ")) };
    format!("{insert} ON CONFLICT ({}) DO {action}", list(config.key.iter().map(String::as_str)))
}

/// Deletes the row with a key; parameters in the order of the key.
pub fn delete_row(config: &SqliteSinkConfig) -> String {
    let same: Vec<String> = config.key.iter().map(|key| format!("{} = ?", quoted(key))).collect();
    format!("DELETE FROM {} WHERE {}", quoted(&config.table), same.join(" AND "))
}
