//! The text of one field of a JSON object, for choosing a record's partition: found by a scan that skips values without
//! reading them. Never enters: whether the rest is JSON; the object was checked or will be.

/// The field's value at the top level of `object`: the text of a string without escapes, or the digits of a number.
/// `None` where the field is not there, is something else, or holds an escape.
pub fn field<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut at = skip_space(object, 0);
    if object.get(at) != Some(&b'{') {
        return None;
    }
    at += 1;
    loop {
        at = skip_space(object, at);
        if object.get(at) != Some(&b'"') {
            return None;
        }
        let end = string_end(object, at + 1)?;
        let key = &object[at + 1..end];
        at = skip_space(object, end + 1);
        if object.get(at) != Some(&b':') {
            return None;
        }
        at = skip_space(object, at + 1);
        let value_end = skip_value(object, at)?;
        if key == name.as_bytes() {
            return match object[at] {
                b'"' => Some(&object[at + 1..value_end - 1]).filter(|text| !text.contains(&b'\\')),
                b'-' | b'0'..=b'9' => Some(&object[at..value_end]),
                _ => None,
            };
        }
        at = skip_space(object, value_end);
        match object.get(at) {
            Some(b',') => at += 1,
            _ => return None,
        }
    }
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The place of the quote that ends a string whose content starts at `at`.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
    }
}

/// The place behind the value that starts at `at`.
fn skip_value(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => Some(string_end(text, at + 1)? + 1),
        b'{' | b'[' => {
            let (mut at, mut depth) = (at, 0usize);
            loop {
                match text.get(at)? {
                    b'"' => at = string_end(text, at + 1)?,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            let rest = &text[at..];
            let end =
                rest.iter().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'));
            Some(at + end.unwrap_or(rest.len())).filter(|end| *end > at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_at_the_top_level_only() {
        let text = br#" {"a" : {"k":"no","l":[{"k":"\"}"}]}, "n":-12.5 ,"k":"yes","e":"a\"b","t":true}"#;
        let found = |name| field(text, name).map(|v| String::from_utf8_lossy(v).into_owned());
        assert_eq!(found("k").as_deref(), Some("yes"));
        assert_eq!(found("n").as_deref(), Some("-12.5"));
        assert_eq!(found("e"), None, "an escape is left to a decoder");
        assert_eq!((found("t"), found("zz"), found("a")), (None, None, None));
    }

    #[test]
    fn broken_text_has_no_field() {
        let whole = br#"{"a":[1,{"b":"c"}],"k":"v"}"#;
        for cut in 0..whole.len() - 1 {
            let _ = field(&whole[..cut], "k");
        }
        for text in [&b""[..], b"{", b"[]", b"{\"k\"", b"{\"k\":", b"{\"k\":}", b"]}", b"{\"a\":]}"] {
            assert_eq!(field(text, "k"), None, "{}", text.escape_ascii());
        }
    }
}
