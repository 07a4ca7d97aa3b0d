//! Sinks of one pipeline that write the same target, of which one takes rows of the other away, or replaces what it only adds. Two that
//! only add rows to a table, and two that replace rows by the same columns (each its part of them, or its own columns of each), are what
//! a file may well mean.
//!
//! Told by the file alone: a database is the same where its path, or its server and name, are written so. Topics with two writers are
//! told by `graph`. Never enters: what a database is dialled by; no part of a DSN is in a message.

use std::collections::BTreeSet;

use millstream_types::Secret;

use super::Check;
use crate::ast::{Pipeline, Sink, Target};
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::replaced::replaced;
use crate::span::Spanned;

pub(super) fn check(check: &Check<'_>, out: &mut Diagnostics) {
    let pipeline = check.pipeline;
    let foreign = pipeline.sinks.values().filter(|sink| sink.target == Target::Foreign);
    let mut written: Vec<(&Sink, Place)> =
        foreign.filter_map(|sink| Some((sink, Place::of(sink)?))).collect();
    written.sort_by_key(|(sink, _)| sink.id.span);
    for (at, (later, place)) in written.iter().enumerate() {
        let before = written[..at].iter().filter(|(_, other)| other.same(place));
        let fault = |(sink, _): &(&Sink, Place)| match place {
            Place::Table { name, .. } => table(pipeline, (sink, later), name),
            Place::Folder(_) => folder(sink, later),
        };
        out.extend(before.filter_map(fault).take(1));
    }
}

/// What a sink writes.
enum Place {
    /// A table of a database.
    Table { connector: String, database: Database, name: String },
    /// Files in a folder or a bucket.
    Folder(String),
}

/// A database, as far as it tells it from others.
enum Database {
    /// By its path, or its server and name.
    Named(String),
    /// By all that the file says, which may hold a password.
    Said(Secret),
}

impl Place {
    fn of(sink: &Sink) -> Option<Place> {
        let config = &sink.config;
        let connector = sink.connector.clone();
        match sink.connector.as_str() {
            "sqlite" => {
                let path = config.secret("path")?.value;
                let database = Database::Named(plain_path(std::str::from_utf8(path.expose()).ok()?));
                // SQLite tells names apart without regard to case.
                let name = config.text("table")?.value.to_ascii_lowercase();
                Some(Place::Table { connector, database, name })
            }
            "postgres" => {
                let name = config.text("table")?.value;
                // A table without a schema is looked for in one of the user's name first.
                let database = Database::of_dsn(config.secret("dsn")?.value, !name.contains('.'));
                Some(Place::Table { connector, database, name })
            }
            "object_store" => Some(Place::Folder(plain_path(&config.text("url")?.value))),
            _ => None,
        }
    }

    fn same(&self, other: &Place) -> bool {
        match (self, other) {
            (
                Place::Table { connector, database, name },
                Place::Table { connector: of, database: other, name: called },
            ) => connector == of && name == called && database.same(other),
            (Place::Folder(url), Place::Folder(other)) => url == other,
            _ => false,
        }
    }
}

impl Database {
    /// Of PostgreSQL: the server, its port and the database's name, and who connects where that matters; all of the DSN where it says more.
    fn of_dsn(dsn: Secret, by_user: bool) -> Database {
        let text = std::str::from_utf8(dsn.expose()).ok();
        let named = text.and_then(|text| {
            let name = server_and_name(text)?;
            Some(if by_user { format!("{}@{name}", user(text)) } else { name })
        });
        named.map_or(Database::Said(dsn), Database::Named)
    }

    fn same(&self, other: &Database) -> bool {
        match (self, other) {
            (Database::Named(name), Database::Named(other)) => name == other,
            (Database::Said(text), Database::Said(other)) => text.same(other),
            _ => false,
        }
    }
}

/// `host:port/database` of a PostgreSQL URL, without who connects; nothing of one that names the server or schemas elsewhere.
fn server_and_name(dsn: &str) -> Option<String> {
    let (_, rest) = dsn.split_once("://")?;
    let (rest, settings) = rest.split_once('?').unwrap_or((rest, ""));
    let about_the_connection = |setting: &str| {
        let name = setting.split('=').next().unwrap_or_default();
        matches!(name, "" | "sslmode" | "application_name" | "connect_timeout" | "target_session_attrs")
    };
    if !settings.split('&').all(about_the_connection) {
        return None;
    }
    let (authority, name) = rest.split_once('/').filter(|(_, name)| !name.is_empty())?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    Some(if has_port { format!("{host}/{name}") } else { format!("{host}:5432/{name}") })
}

/// Who connects by a PostgreSQL URL; empty where it does not say.
fn user(dsn: &str) -> &str {
    let rest = dsn.split_once("://").map_or(dsn, |(_, rest)| rest);
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    let who = authority.rsplit_once('@').map_or("", |(who, _)| who);
    who.split_once(':').map_or(who, |(user, _)| user)
}

/// A path or URL without what does not tell it from another: `./`, and a slash at its end or written twice.
fn plain_path(path: &str) -> String {
    let (scheme, rest) = path.split_once("://").map_or(("", path), |(scheme, rest)| (scheme, rest));
    let root = if rest.starts_with('/') { "/" } else { "" };
    let parts: Vec<&str> = rest.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    format!("{scheme}:{root}{}", parts.join("/"))
}

/// Two sinks of one table.
fn table(pipeline: &Pipeline, (first, later): (&Sink, &Sink), name: &str) -> Option<Diagnostic> {
    let (a, b) = (&first.id.value, &later.id.value);
    let found = |message: String, help: &str| {
        let at = later.config.span("table");
        let diagnostic = Diagnostic::new(&code::TARGET_WRITTEN_TWICE, at, message);
        Some(diagnostic.related(first.config.span("table"), format!("{a:?} writes it")).help(help))
    };
    if first.upserts != later.upserts {
        let (replaces, adds) = if first.upserts { (a, b) } else { (b, a) };
        return found(
            format!(
                "the sinks {a:?} and {b:?} write the table {name:?}: what {adds:?} adds, {replaces:?} would replace, and of a key that is there nothing could be added"
            ),
            "give each a table of its own, or let both say `mode: upsert` with the same `key`",
        );
    }
    if !first.upserts {
        return None;
    }
    let (of_first, of_later) = (key(first), key(later));
    if of_first != of_later {
        let shown = |key: &BTreeSet<String>| key.iter().cloned().collect::<Vec<_>>().join(", ");
        return found(
            format!(
                "the sinks {a:?} and {b:?} write the table {name:?}, and tell its rows apart by other columns: {} and {}",
                shown(&of_first),
                shown(&of_later)
            ),
            "give each a table of its own, or both the same `key`",
        );
    }
    let (goes, stays, input) = [(first, b), (later, a)]
        .into_iter()
        .find_map(|(sink, other)| Some((&sink.id.value, other, going(pipeline, sink)?)))?;
    found(
        format!(
            "the sinks {a:?} and {b:?} write the table {name:?}, and rows of {:?} may go: one that {goes:?} deletes may be one that {stays:?} wrote",
            input.value
        ),
        "give each a table of its own, or make one stream of them first: one query with a condition for both",
    )
}

/// The input of a sink whose rows may go: by itself, or by the sink's condition.
fn going<'a>(pipeline: &Pipeline, sink: &'a Sink) -> Option<&'a Spanned<String>> {
    sink.inputs
        .iter()
        .find(|input| replaced(pipeline, &input.value).is_some_and(|of| of.goes || sink.condition.is_some()))
}

fn key(sink: &Sink) -> BTreeSet<String> {
    sink.config.texts("key").into_iter().map(|column| column.value).collect()
}

/// Two sinks of one folder: the files of one stream have one name.
fn folder(first: &Sink, later: &Sink) -> Option<Diagnostic> {
    // Of a condition comes a stream of its own; and what files are divided by is in their paths.
    let divided = |sink: &Sink| -> Vec<String> {
        sink.config.texts("partition_by").into_iter().map(|column| column.value).collect()
    };
    if first.condition.is_some() || later.condition.is_some() || divided(first) != divided(later) {
        return None;
    }
    let input =
        later.inputs.iter().find(|input| first.inputs.iter().any(|other| other.value == input.value))?;
    let (a, b) = (&first.id.value, &later.id.value);
    let message = format!(
        "the sinks {a:?} and {b:?} write rows of {:?} to the same folder, in files of the same names: one would overwrite the other's",
        input.value
    );
    let diagnostic = Diagnostic::new(&code::TARGET_WRITTEN_TWICE, later.config.span("url"), message);
    let help = "one of them is enough; or give each a folder of its own";
    Some(diagnostic.related(first.config.span("url"), format!("{a:?} writes it")).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_and_a_database_are_known_whoever_connects() {
        for (dsn, wanted) in [
            ("postgres://etl:pw@db.example/shop", Some("db.example:5432/shop")),
            ("postgresql://DB.example:5432/shop?sslmode=require", Some("db.example:5432/shop")),
            ("postgres://db.example:5433/shop", Some("db.example:5433/shop")),
            ("postgres://u:p%40ss@[::1]/shop", Some("[::1]:5432/shop")),
            // The name is the user's then, and schemas are looked for elsewhere.
            ("postgres://etl@db.example", None),
            ("postgres://db.example/shop?options=-csearch_path%3Dsales", None),
            ("host=db.example dbname=shop", None),
        ] {
            assert_eq!(server_and_name(dsn).as_deref(), wanted, "{dsn}");
        }
    }

    #[test]
    fn a_table_without_a_schema_is_its_users() {
        for (dsn, wanted) in [
            ("postgres://etl:pw@db.example/shop", "etl"),
            ("postgres://etl@db.example/shop", "etl"),
            ("postgres://db.example/shop", ""),
        ] {
            assert_eq!(user(dsn), wanted, "{dsn}");
        }
        let of = |dsn: &str, by_user| Database::of_dsn(Secret::new(dsn), by_user);
        let (a, b) = ("postgres://a@db/shop", "postgres://b:pw@db:5432/shop");
        assert!(of(a, false).same(&of(b, false)) && !of(a, true).same(&of(b, true)));
    }

    #[test]
    fn a_path_is_known_however_it_is_written() {
        for (one, other, same) in [
            ("out/shop.db", "./out//shop.db", true),
            ("s3://bucket/lake", "s3://bucket/lake/", true),
            ("/data/lake", "data/lake", false),
            ("s3://bucket/lake", "file://bucket/lake", false),
        ] {
            assert_eq!(plain_path(one) == plain_path(other), same, "{one} and {other}");
        }
    }
}
