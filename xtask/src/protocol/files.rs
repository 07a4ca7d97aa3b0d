//! Which generated file holds what: one for each message and record, the modules above them with their dispatch
//! tables, and the table of APIs. Never enters: the structures themselves, which `rust.rs` writes.

use super::names::snake;
use super::rust;
use super::table::{Kind, Message};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Generated text by path below `broker/wire/src`.
pub type Files = BTreeMap<String, String>;

/// The tables, by file name without ending.
pub type Tables = BTreeMap<String, Vec<Message>>;

fn head(what: &str, table: &str) -> String {
    format!(
        "//! {what}\n//!\n//! Made by `cargo xtask protocol` from `broker/wire/schema/{table}.txt`; a change belongs there. Never enters: what\n//! any of the fields mean to a broker.\n"
    )
}

/// All generated files.
pub fn all(tables: &Tables) -> Files {
    let mut files = Files::new();
    messages(tables, &mut files);
    files.insert("api.rs".to_owned(), api(&tables["request"]));
    for (table, what) in [
        ("metadata", "The records of the cluster metadata log."),
        ("remote_log", "The records of the remote log metadata topic."),
    ] {
        log_records(table, what, &tables[table], &mut files);
    }
    for (table, what) in [
        ("group", "The records of `__consumer_offsets`."),
        ("share", "The records of `__share_group_state`."),
        ("txn", "The records of `__transaction_state`."),
    ] {
        coordinator_records(table, what, &tables[table], &mut files);
    }
    data(&tables["data"], &mut files);
    let headers: String = tables["header"].iter().map(rust::message).collect();
    let text = format!(
        "{}\n{}{headers}",
        head("What stands before each request and response.", "header"),
        rust::imports(&headers)
    );
    files.insert("header.rs".to_owned(), text);
    files
}

fn module(message: &Message, table: &str, path: &str, files: &mut Files) {
    let code = rust::message(message);
    let kind = match message.kind {
        Kind::Request => "request",
        Kind::Response => "response",
        _ => "record",
    };
    let text = format!(
        "{}\n{}{code}",
        head(&format!("Kafka's {kind} `{}`.", message.name), table),
        rust::imports(&code)
    );
    files.insert(format!("{path}/{}.rs", snake(&message.name)), text);
}

fn modules(messages: &[&Message], out: &mut String) {
    for m in messages {
        writeln!(out, "pub mod {};", snake(&m.name)).unwrap();
    }
    out.push('\n');
    for m in messages {
        writeln!(out, "pub use {}::{};", snake(&m.name), m.name).unwrap();
    }
}

fn api_name(request: &Message) -> &str {
    request.name.strip_suffix("Request").expect("a request's name ends so")
}

fn messages(tables: &Tables, files: &mut Files) {
    let live =
        |table: &str| -> Vec<&Message> { tables[table].iter().filter(|m| !m.versions.is_empty()).collect() };
    let (requests, responses) = (live("request"), live("response"));
    let mut out = head("Every request and response of Kafka 4.4.0, a module each.", "request,response")
        .replace("schema/request,response.txt", "schema/{request,response}.txt");
    out.push_str("\nuse crate::dispatch::messages;\n\n");
    let mut all: Vec<&Message> = requests.iter().chain(&responses).copied().collect();
    all.sort_by_key(|m| snake(&m.name));
    modules(&all, &mut out);
    out.push_str("\nmessages! {\n");
    for request in &requests {
        let response =
            responses.iter().find(|r| r.key == request.key).expect("each request has its response");
        assert_eq!(request.versions, response.versions, "{}: other versions than its response", request.name);
        let v = request.versions;
        writeln!(out, "{} {} {} {} {};", api_name(request), request.name, response.name, v.lo, v.hi).unwrap();
    }
    out.push_str("}\n");
    files.insert("message.rs".to_owned(), out);
    for m in &requests {
        module(m, "request", "message", files);
    }
    for m in &responses {
        module(m, "response", "message", files);
    }
}

fn api(requests: &[Message]) -> String {
    let mut out = head("The API keys of Kafka 4.4.0, and what is true of each in every version.", "request");
    out.push_str("\nuse crate::dispatch::{ApiInfo, api_keys};\n\napi_keys! {\n");
    for m in requests.iter().filter(|m| !m.versions.is_empty()) {
        let stable = m.versions.hi - i16::from(m.unstable);
        let flexible = if m.flexible.is_empty() { "i16::MAX".to_owned() } else { m.flexible.lo.to_string() };
        let on = |name: &str| m.listeners.iter().any(|l| l == name);
        writeln!(
            out,
            "{} = {}, ApiInfo {{ name: \"{}\", min: {}, max: {}, max_stable: {stable}, first_flexible: {flexible}, broker: {}, controller: {} }};",
            api_name(m), m.key.expect("a request has a key"), api_name(m), m.versions.lo, m.versions.hi, on("broker"), on("controller"),
        )
        .unwrap();
    }
    out.push_str("}\n");
    out
}

fn log_records(table: &str, what: &str, messages: &[Message], files: &mut Files) {
    let mut out = head(what, table);
    out.push_str("\nuse super::log_records;\n\n");
    modules(&messages.iter().collect::<Vec<_>>(), &mut out);
    let name = if table == "metadata" { "MetadataRecord" } else { "RemoteLogRecord" };
    writeln!(out, "\nlog_records! {{\n{name};").unwrap();
    for m in messages {
        let variant = m.name.strip_suffix("Record").expect("a record's name ends so");
        writeln!(
            out,
            "{} {variant} {} {} {};",
            m.key.expect("a record has a type"),
            m.name,
            m.versions.lo,
            m.versions.hi
        )
        .unwrap();
    }
    out.push_str("}\n");
    files.insert(format!("record/{table}.rs"), out);
    for m in messages {
        module(m, table, &format!("record/{table}"), files);
    }
}

fn coordinator_records(table: &str, what: &str, messages: &[Message], files: &mut Files) {
    let mut out = head(what, table);
    out.push_str("\nuse super::coordinator_records;\n\n");
    modules(&messages.iter().collect::<Vec<_>>(), &mut out);
    let family = match table {
        "group" => "Group",
        "share" => "Share",
        _ => "Transaction",
    };
    writeln!(out, "\ncoordinator_records! {{\n{family}Key {family}Value;").unwrap();
    for pair in messages.chunks(2) {
        let [key, value] = pair else { panic!("{table}: a key without a value") };
        assert!(
            key.kind == Kind::Key && value.kind == Kind::Value && key.key == value.key,
            "{}: its value must follow",
            key.name
        );
        let variant = key.name.strip_suffix("Key").expect("a key's name ends so");
        let v = value.versions;
        writeln!(out, "{} {variant} {} {} {} {};", key.key.unwrap(), key.name, value.name, v.lo, v.hi)
            .unwrap();
    }
    out.push_str("}\n");
    files.insert(format!("record/{table}.rs"), out);
    for m in messages {
        module(m, table, &format!("record/{table}"), files);
    }
}

fn data(messages: &[Message], files: &mut Files) {
    let mut out = head("Data on disk, in control records and inside other messages.", "data");
    out.push_str("\nuse super::data_records;\n\n");
    modules(&messages.iter().collect::<Vec<_>>(), &mut out);
    out.push_str("\ndata_records! {\n");
    for m in messages {
        writeln!(out, "{} {} {};", m.name, m.versions.lo, m.versions.hi).unwrap();
    }
    out.push_str("}\n");
    files.insert("record/data.rs".to_owned(), out);
    for m in messages {
        module(m, "data", "record/data", files);
    }
}
