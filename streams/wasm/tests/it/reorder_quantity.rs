//! The function of the reorder-proposals example, as SQL calls it: what it gives for lists of arguments, by the trait that the
//! engine knows.

use crate::support::{build, engine, repository};
use bytes::Bytes;
use millstream_model::{Message, UserFunction};
use millstream_wasm::{Caller, FunctionConfig};
use std::path::Path;

/// Arguments, and what comes of them: a value, NULL, or a refusal's code.
const CASES: &[(&str, &str)] = &[
    (r#"[3,12.00,"packs of 6"]"#, "6"),
    (r#"[12,12.00,"packs of 6"]"#, "12"),
    (r#"[3,0.50,"at least 20.00"]"#, "40"),
    (r#"[7,12.00,"packs of 6, at least 100.00"]"#, "12"),
    (r#"[7,12.00,"at least 500, packs of 6"]"#, "42"),
    (r#"[7,12.00,""]"#, "7"),
    (r#"[7,12.00,null]"#, "7"),
    (r#"[-7,12.00,"packs of 2"]"#, "0"),
    (r#"[null,12.00,"packs of 6"]"#, "NULL"),
    (r#"[7,null,"nonsense"]"#, "NULL"),
    (r#"[7,12.00,"by the truck"]"#, "bad_terms"),
    (r#"[7,12.00,"packs of 0"]"#, "bad_terms"),
    (r#"[7,12.00,"packs of \"6\""]"#, "bad_terms"),
    (r#"[7,12.00,"at least 1.005"]"#, "bad_terms"),
    (r#"[7,0.00,"at least 10"]"#, "no_cost"),
    (r#"[9223372036854775807,1.00,"packs of 10"]"#, "too_many"),
    (r#"[7]"#, "bad_arguments"),
    (r#"{"missing":7}"#, "bad_arguments"),
];

fn check(component: &Path) {
    let config = FunctionConfig { name: "reorder_quantity".to_owned(), ..FunctionConfig::default() };
    let mut caller = Caller::new(engine().load_file(component, config).expect("the component loads"));
    let message = |(at, (arguments, _)): (usize, &(&str, &str))| Message {
        value: Some(Bytes::copy_from_slice(arguments.as_bytes())),
        offset: at as i64,
        ..Message::default()
    };
    let batch: Vec<Message> = CASES.iter().enumerate().map(message).collect();
    let outcome = caller.process(&batch).expect("nothing transient");
    let mut came = vec![Vec::new(); CASES.len()];
    for emit in outcome.emits {
        assert_eq!(emit.output, None);
        let value =
            emit.message.value.map_or_else(|| "NULL".into(), |v| String::from_utf8_lossy(&v).into_owned());
        // A value is known by the place of its row.
        came[emit.message.offset as usize].push(value);
    }
    for bad in outcome.failed {
        came[bad.index as usize].push(bad.why.code);
    }
    for ((arguments, wanted), came) in CASES.iter().zip(came) {
        assert_eq!(came, [*wanted], "{arguments}");
    }
}

#[test]
fn each_row_has_one_value_or_is_refused() {
    check(&repository().join("pipelines/examples/reorder-proposals/reorder_quantity.wasm"));
}

#[test]
fn the_function_built_from_its_source_behaves_as_the_committed_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let built = folder.path().join("reorder_quantity.wasm");
    if build("reorder-proposals/reorder-quantity", &built) {
        check(&built);
    }
}
