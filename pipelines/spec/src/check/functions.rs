//! Functions that SQL calls: how many there are, how many arguments one takes, and names that SQL can read. Which names are
//! SQL's own functions is known by the engine.

use crate::ast::{ARGUMENTS_MAX, FUNCTIONS_MAX, Pipeline};
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::sql::RESERVED;

pub(super) fn check(pipeline: &Pipeline, out: &mut Diagnostics) {
    let functions = pipeline.functions.values();
    if let Some(first) = functions.clone().next().filter(|_| functions.len() > FUNCTIONS_MAX) {
        let message =
            format!("the pipeline has {} functions; one has at most {FUNCTIONS_MAX}", functions.len());
        out.push(Diagnostic::new(&code::OUT_OF_BOUNDS, first.id.span, message));
    }
    for function in functions {
        let name = function.id.value.as_str();
        if RESERVED.contains(&name) {
            let message = format!("{name:?} is a word of SQL, which could not read it as a function");
            let help = format!("for example: {name}_of");
            out.push(Diagnostic::new(&code::RESERVED_ID, function.id.span, message).help(help));
        }
        if function.arguments.len() > ARGUMENTS_MAX {
            let message =
                format!("{name:?} takes {} arguments; at most {ARGUMENTS_MAX}", function.arguments.len());
            out.push(Diagnostic::new(&code::OUT_OF_BOUNDS, function.id.span, message));
        }
    }
}
