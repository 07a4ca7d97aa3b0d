//! Answers: what became of records, and how it is told. The body is JSON: `{"records":3,"rejected":[{"record":1,"reason":
//! "bad_total"}]}`; a rejected record is in the dead letters, so it is no failure of the request, and is not sent again.

use serde::{Deserialize, Serialize};

/// What became of a unit's records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How many records.
    #[serde(rename = "n")]
    pub records: u32,
    /// Which of them went to the dead letters, and why.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<(u32, String)>,
}

#[derive(Serialize)]
struct Body {
    records: u64,
    rejected: Vec<Rejection>,
}

#[derive(Serialize)]
struct Rejection {
    record: u64,
    reason: String,
}

/// The body of an answer over several units, in the request's order.
pub fn body(outcomes: &[Outcome]) -> Vec<u8> {
    let mut body = Body { records: 0, rejected: Vec::new() };
    for outcome in outcomes {
        let rejected = outcome.rejected.iter().map(|(index, reason)| Rejection {
            record: body.records + u64::from(*index),
            reason: reason.clone(),
        });
        body.rejected.extend(rejected);
        body.records += u64::from(outcome.records);
    }
    serde_json::to_vec(&body).expect("numbers and text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_over_the_whole_request() {
        let outcomes = [
            Outcome { records: 2, rejected: vec![(1, "bad_total".into())] },
            Outcome { records: 1, rejected: vec![(0, "malformed_json".into())] },
        ];
        let expected = r#"{"records":3,"rejected":[{"record":1,"reason":"bad_total"},{"record":2,"reason":"malformed_json"}]}"#;
        assert_eq!(String::from_utf8(body(&outcomes)).unwrap(), expected);
    }
}
