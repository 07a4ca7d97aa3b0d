//! Kafka's names in Rust's spelling. Owns the clash rules; nothing about types or versions enters.

/// Words that cannot name a field.
const KEYWORDS: &[&str] = &[
    "as", "async", "await", "box", "break", "const", "continue", "crate", "do", "dyn", "else", "enum",
    "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match",
    "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super",
    "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while",
    "yield",
];

/// `TopicId` -> `topic_id`, `KRaftVersion` -> `k_raft_version`.
pub fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            let after_lower = !chars[i - 1].is_ascii_uppercase();
            let before_lower = chars.get(i + 1).is_some_and(|n| n.is_ascii_lowercase());
            if after_lower || before_lower {
                out.push('_');
            }
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// The name of a struct's field: snake case, with an underscore behind a word of the language.
pub fn field(name: &str) -> String {
    let name = snake(name);
    if KEYWORDS.contains(&name.as_str()) || name == "unknown_tagged_fields" { name + "_" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_rust_spells_them() {
        for (kafka, rust) in [
            ("TopicId", "topic_id"),
            ("KRaftVersionFeature", "k_raft_version_feature"),
            ("V3AndBelowTopics", "v3_and_below_topics"),
            ("Type", "type_"),
            ("Match", "match_"),
            ("protocolType", "protocol_type"),
        ] {
            assert_eq!(field(kafka), rust);
        }
    }
}
