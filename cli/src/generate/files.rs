//! The files: a folder for each store, a file for each store and six hours. Lines are held back and written in large
//! pieces, so that few files are open at a time.

use super::GenerateError;
use super::clock::part_name;
use super::invoice::StoreNames;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes held back for a store.
const HELD_BYTES: usize = 256 << 10;

/// Where a line goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub store: u32,
    pub part: u32,
}

#[derive(Debug, Default)]
struct Held {
    part: u32,
    bytes: Vec<u8>,
}

/// The folder that is written.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    inboxes: Vec<PathBuf>,
    held: Vec<Held>,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> GenerateError {
    let path = path.display().to_string();
    move |source| GenerateError::Write { path, source }
}

impl Files {
    /// Makes the folders of all stores.
    pub(super) fn create(dir: &Path, stores: u32) -> Result<Files, GenerateError> {
        std::fs::create_dir_all(dir).map_err(failed(dir))?;
        if std::fs::read_dir(dir).map_err(failed(dir))?.next().is_some() {
            return Err(GenerateError::NotEmpty(dir.display().to_string()));
        }
        let names = StoreNames::new(stores);
        let inboxes: Vec<PathBuf> =
            (0..stores).map(|store| dir.join("stores").join(names.name(store)).join("inbox")).collect();
        for inbox in &inboxes {
            std::fs::create_dir_all(inbox).map_err(failed(inbox))?;
        }
        let held = inboxes.iter().map(|_| Held::default()).collect();
        Ok(Files { dir: dir.to_owned(), inboxes, held })
    }

    /// Appends a line, its end included.
    pub(super) fn append(&mut self, place: Place, line: &[u8]) -> Result<(), GenerateError> {
        let held = &mut self.held[place.store as usize];
        if held.part != place.part || held.bytes.len() + line.len() > HELD_BYTES {
            flush(&self.inboxes[place.store as usize], held)?;
            held.part = place.part;
        }
        held.bytes.extend_from_slice(line);
        Ok(())
    }

    /// Writes what is held back.
    pub(super) fn finish(&mut self) -> Result<(), GenerateError> {
        for (inbox, held) in self.inboxes.iter().zip(&mut self.held) {
            flush(inbox, held)?;
        }
        Ok(())
    }

    /// Writes a file beside the stores' folders.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<(), GenerateError> {
        let path = self.dir.join(name);
        std::fs::write(&path, content).map_err(failed(&path))
    }
}

fn flush(inbox: &Path, held: &mut Held) -> Result<(), GenerateError> {
    if held.bytes.is_empty() {
        return Ok(());
    }
    let path = inbox.join(part_name(held.part));
    let mut file = OpenOptions::new().append(true).create(true).open(&path).map_err(failed(&path))?;
    file.write_all(&held.bytes).map_err(failed(&path))?;
    held.bytes.clear();
    Ok(())
}
