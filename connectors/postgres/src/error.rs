//! PostgreSQL's errors by what is to be done about them, by the class of their SQLSTATE (manual, appendix A).

use millstream_connector::SinkError;

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Passes by itself.
    Transient,
    /// A row, for what it holds.
    Row,
    /// A person must change something.
    Setup,
}

/// Judges a SQLSTATE; `None` is a failure without one: the connection's.
pub fn classify(code: Option<&str>) -> Class {
    let Some(code) = code else { return Class::Transient };
    match (code.get(..2).unwrap_or_default(), code) {
        // Someone else is making the same table; the server is starting; too many connections for now.
        (_, "42P07" | "55P03" | "55006" | "57P03" | "57014" | "XX001") => Class::Transient,
        // 08 connection, 25 transaction state, 40 rollback, 53 resources (disk full too), 57 operator, 58 system.
        ("08" | "25" | "40" | "53" | "57" | "58", _) => Class::Transient,
        // 22 data, 23 constraints, 54 limits such as an index row's size.
        ("22" | "23" | "54", _) => Class::Row,
        _ => Class::Setup,
    }
}

/// The class of a driver's error. A certificate that is not trusted stays so until a person does something.
pub fn class_of(error: &tokio_postgres::Error) -> Class {
    if certificate_fault(error) {
        return Class::Setup;
    }
    classify(error.code().map(tokio_postgres::error::SqlState::code))
}

fn certificate_fault(error: &tokio_postgres::Error) -> bool {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let tls = io.and_then(std::io::Error::get_ref).and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

/// The server's own words, where it said any; the driver's Display hides them. A constraint's detail shows the row's
/// values, which belong in its dead letter and not in a log: only faults of rows carry it.
pub fn text(error: &tokio_postgres::Error, class: Class) -> String {
    let Some(said) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            text = format!("{text}: {inner}");
            source = inner.source();
        }
        return text;
    };
    let mut text = format!("{} (SQLSTATE {})", said.message(), said.code().code());
    if let Some(detail) = said.detail().filter(|_| class == Class::Row) {
        text.push_str("; ");
        text.push_str(detail);
    }
    if let Some(hint) = said.hint() {
        text.push_str("; ");
        text.push_str(hint);
    }
    text
}

/// A failure that no single row causes.
pub fn sink_error(doing: &str, error: &tokio_postgres::Error) -> SinkError {
    let class = class_of(error);
    let what = format!("{doing}: {}", text(error, class));
    match class {
        Class::Transient => SinkError::transient(what),
        Class::Row | Class::Setup => SinkError::Setup(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for (code, class) in [
            (None, Class::Transient),
            (Some("08006"), Class::Transient),
            (Some("40001"), Class::Transient),
            (Some("40P01"), Class::Transient),
            (Some("53100"), Class::Transient),
            (Some("53300"), Class::Transient),
            (Some("57P01"), Class::Transient),
            (Some("57014"), Class::Transient),
            (Some("22003"), Class::Row),
            (Some("22021"), Class::Row),
            (Some("23505"), Class::Row),
            (Some("23514"), Class::Row),
            (Some("54000"), Class::Row),
            (Some("28P01"), Class::Setup),
            (Some("42P01"), Class::Setup),
            (Some("42703"), Class::Setup),
            (Some("42501"), Class::Setup),
            (Some("3D000"), Class::Setup),
            (Some(""), Class::Setup),
        ] {
            assert_eq!(classify(code), class, "{code:?}");
        }
    }
}
