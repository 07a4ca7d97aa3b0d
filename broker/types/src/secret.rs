//! Text that must not leave the process: it has no `Display`, its `Debug` shows a mask, two of them are compared in
//! constant time, and its memory is overwritten when it goes (SE-1).

/// A password, key or token.
#[derive(Clone, Default)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes `text` in; the caller's copy is gone.
    pub fn new(text: impl Into<Vec<u8>>) -> Secret {
        Secret(text.into())
    }

    /// The bytes, for the one place that hands them to the other side.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are the same, in time that depends on the lengths alone.
    pub fn same(&self, other: &Secret) -> bool {
        let mut difference = self.0.len() ^ other.0.len();
        for (a, b) in self.0.iter().zip(&other.0) {
            difference |= usize::from(std::hint::black_box(a ^ b));
        }
        difference == 0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the stores: the optimiser would drop writes to memory that is freed next.
        std::hint::black_box(&self.0);
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(***)");
        assert!(Secret::new("a").same(&Secret::new("a")));
        assert!(!Secret::new("a").same(&Secret::new("b")));
        assert!(!Secret::new("a").same(&Secret::new("ab")));
    }
}
