//! Files that are written from this crate's tables are as the tables say.

use millstream_spec::{catalog::standard, reference, schema};

#[test]
fn the_page_of_diagnostics_is_fresh() {
    let path = crate::root().join("../../docs/reference/diagnostics.md");
    crate::expect_file(&path, &reference::diagnostics_page()).unwrap();
}

#[test]
fn the_editors_schema_is_fresh() {
    let path = crate::root().join("pipeline.schema.json");
    let mut text = serde_json::to_string_pretty(&schema::json_schema(&standard::catalog())).unwrap();
    text.push('\n');
    crate::expect_file(&path, &text).unwrap();
}
