//! Secrets that nothing uses. Where they may stand is lint's (`shape/walk.rs`), what they hold nobody's.

use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::interpolate::Secrets;

pub(super) fn check(secrets: &Secrets, out: &mut Diagnostics) {
    for (name, secret) in secrets.values.iter().filter(|(name, _)| !secrets.used.contains(*name)) {
        let message = format!("nothing uses the secret {name:?}");
        out.push(Diagnostic::new(&code::UNUSED_SECRET, secret.span, message));
    }
}
