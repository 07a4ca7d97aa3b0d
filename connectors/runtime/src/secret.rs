//! Where `${env:X}` and `${file:…}` may be read from, and the masking of secrets in text that leaves the process
//! (SE-1). By default a remote submitter may read nothing; who runs a local file may name roots and variables. Owns the
//! allow-lists and the check of a path against them. Never enters: the syntax of `${…}`, which is the spec's.

use std::path::{Path, PathBuf};

use millstream_types::Secret;

/// What may be read.
#[derive(Clone, Debug, Default)]
pub struct SecretPolicy {
    /// Variables by exact name, or by prefix with a `*` at the end.
    pub variables: Vec<String>,
    /// Folders under which files may be read.
    pub file_roots: Vec<PathBuf>,
}

/// Why something was not read. Never holds the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The policy does not name it.
    #[error(
        "reading {what}: it is not among what this pipeline may read; allow it where the pipeline is started"
    )]
    Refused {
        /// The variable or path.
        what: String,
    },
    /// It is not there, or too large, or not text.
    #[error("reading {what}: {why}")]
    Unreadable {
        /// The variable or path.
        what: String,
        /// Why.
        why: String,
    },
}

/// The greatest secret file, in bytes.
pub const SECRET_BYTES_MAX: u64 = 64 << 10;

impl SecretPolicy {
    /// Reads a variable, if allowed. `lookup` is `std::env::var_os` but in tests.
    pub fn variable(
        &self,
        name: &str,
        lookup: impl FnOnce(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Secret, SecretError> {
        let what = || format!("the variable {name}");
        let allowed = self.variables.iter().any(|rule| match rule.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => rule == name,
        });
        if !allowed {
            return Err(SecretError::Refused { what: what() });
        }
        let unreadable = |why: &str| SecretError::Unreadable { what: what(), why: why.to_owned() };
        let value = lookup(name).ok_or_else(|| unreadable("it is not set"))?;
        value.into_string().map(Secret::new).map_err(|_| unreadable("it is not UTF-8"))
    }

    /// Reads a file, if it lies under a root once all links are followed. One newline at the end is dropped.
    pub fn file(&self, path: &Path) -> Result<Secret, SecretError> {
        let what = || format!("the file {}", path.display());
        let unreadable = |why: String| SecretError::Unreadable { what: what(), why };
        // A path outside every root is refused before it is touched, so that its existence is not told either.
        let lexical = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
        if !lexical || !self.file_roots.iter().any(|root| path.starts_with(root)) {
            return Err(SecretError::Refused { what: what() });
        }
        let real = path.canonicalize().map_err(|error| unreadable(error.to_string()))?;
        let inside =
            self.file_roots.iter().any(|root| root.canonicalize().is_ok_and(|root| real.starts_with(root)));
        if !inside {
            return Err(SecretError::Refused { what: what() });
        }
        let meta = std::fs::metadata(&real).map_err(|error| unreadable(error.to_string()))?;
        if !meta.is_file() {
            return Err(unreadable("it is not a file".to_owned()));
        }
        if meta.len() > SECRET_BYTES_MAX {
            return Err(unreadable(format!(
                "it has {} bytes; a secret has at most {SECRET_BYTES_MAX}",
                meta.len()
            )));
        }
        let mut bytes = std::fs::read(&real).map_err(|error| unreadable(error.to_string()))?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if std::str::from_utf8(&bytes).is_err() {
            return Err(unreadable("it is not UTF-8".to_owned()));
        }
        Ok(Secret::new(bytes))
    }
}

/// Known secrets, masked in whatever text is shown or logged: a driver's error may quote a DSN.
#[derive(Clone, Debug, Default)]
pub struct Masks(Vec<Secret>);

/// Shorter secrets are not masked: they would mask half of every text, and protect nothing.
pub const MASKED_BYTES_MIN: usize = 4;

impl Masks {
    /// Adds a secret.
    pub fn add(&mut self, secret: &Secret) {
        if secret.expose().len() >= MASKED_BYTES_MIN {
            self.0.push(secret.clone());
            // The longest first: a DSN goes before the password inside it.
            self.0.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        }
    }

    /// The text with every known secret replaced by `***`.
    pub fn mask(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| match std::str::from_utf8(secret.expose()) {
            Ok(secret) => text.replace(secret, "***"),
            Err(_) => text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_allowed_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("secrets");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("dsn"), "hunter2\n").unwrap();
        std::fs::write(root.join("binary"), b"\xff\xfe").unwrap();
        std::fs::write(root.join("big"), vec![b'x'; (SECRET_BYTES_MAX + 1) as usize]).unwrap();
        std::fs::write(folder.path().join("other"), "canary").unwrap();
        std::os::unix::fs::symlink(folder.path().join("other"), root.join("link")).unwrap();
        std::os::unix::fs::symlink(root.join("dsn"), root.join("inner")).unwrap();
        let policy =
            SecretPolicy { variables: vec!["DB_*".into(), "TOKEN".into()], file_roots: vec![root.clone()] };

        assert!(policy.file(&root.join("dsn")).unwrap().same(&Secret::new("hunter2")));
        assert!(policy.file(&root.join("inner")).unwrap().same(&Secret::new("hunter2")));
        let refused = [
            folder.path().join("other"),
            root.join("../other"),
            root.join("x/../dsn"),
            root.join("link"),
            PathBuf::from("/etc/passwd"),
            PathBuf::from("dsn"),
            folder.path().join("secrets-too/dsn"),
        ];
        for path in refused {
            assert!(matches!(policy.file(&path), Err(SecretError::Refused { .. })), "{}", path.display());
        }
        for path in ["none", "binary", "big", "."] {
            let error = policy.file(&root.join(path)).unwrap_err();
            assert!(matches!(error, SecretError::Unreadable { .. }), "{path}: {error}");
        }
        let read = |name: &str| policy.variable(name, |_| Some("v".into()));
        assert!(read("DB_PASSWORD").is_ok() && read("TOKEN").is_ok());
        for name in ["TOKENS", "PATH", "db_password", ""] {
            assert!(matches!(read(name), Err(SecretError::Refused { .. })), "{name}");
        }
        assert!(SecretPolicy::default().variable("PATH", |_| Some("v".into())).is_err());
    }

    #[test]
    fn known_secrets_are_masked() {
        let mut masks = Masks::default();
        for secret in ["hunter2", "postgres://me:hunter2@db/x", "ab"] {
            masks.add(&Secret::new(secret));
        }
        let text = masks.mask("dialling postgres://me:hunter2@db/x: password hunter2 refused, ab stays");
        assert_eq!(text, "dialling ***: password *** refused, ab stays");
        assert!(!format!("{masks:?}").contains("hunter"));
    }
}
