//! "Did you mean": the nearest of the names that would have been right.
//!
//! Never enters: where the names come from. The distance is optimal string alignment (insert, delete, replace, swap
//! of neighbours), over names of at most [`NAME_CHARS_MAX`] characters.

/// Longer names are not compared; nobody mistypes so long a one by a letter and is not helped by the rest.
const NAME_CHARS_MAX: usize = 64;

/// The candidate nearest to `name`, where one is near enough: a third of its length, at least one edit, or a prefix.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let chars = name.chars().count();
    if chars == 0 || chars > NAME_CHARS_MAX {
        return None;
    }
    let bound = (chars / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(edits, candidate)| {
            *edits <= bound
                || (chars >= 3 && (candidate.starts_with(name) || candidate.eq_ignore_ascii_case(name)))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if b.len() > NAME_CHARS_MAX {
        return usize::MAX;
    }
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["inputs", "input_format", "type", "within", "watermark"];
        for (name, wanted) in [
            ("inptus", Some("inputs")),
            ("input", Some("inputs")),
            ("Type", Some("type")),
            ("whitin", Some("within")),
            ("water", Some("watermark")),
            ("zzz", None),
            ("", None),
            ("inputs", None),
        ] {
            assert_eq!(nearest(name, names), wanted, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(100), names), None);
    }
}
