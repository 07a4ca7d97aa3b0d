//! A folder as a store. A file is written under `_millstream/aside/`, flushed, and renamed; an entry is written aside,
//! flushed, and linked to its name, which fails where the name is taken. Folders are flushed after each change of names,
//! so that what was answered survives a power loss. One file system: names are linked, not copied.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use millstream_connector::{SinkError, async_trait};

use super::{Created, Store, Upload};
use crate::entry::{FilePlace, OWN_FOLDER, Staged};
use crate::error::local as failed;

/// A folder.
pub struct LocalStore {
    root: PathBuf,
    next_temporary: AtomicU64,
}

impl LocalStore {
    /// The folder `root`; made when it is first written to.
    pub fn new(root: PathBuf) -> LocalStore {
        LocalStore { root, next_temporary: AtomicU64::new(0) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let task = tokio::task::spawn_blocking(work).await;
        task.map_err(|error| SinkError::transient(format!("running a call to the file system: {error}")))?
    }

    fn temporary(&self) -> PathBuf {
        let n = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        self.root.join(OWN_FOLDER).join("tmp").join(format!("{}-{n}", std::process::id()))
    }
}

fn sync_folder(folder: &Path) -> Result<(), SinkError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|error| failed("flushing the folder", folder, &error))
}

/// Makes a folder and those above it, each flushed into the one above.
fn make_folder(folder: &Path) -> Result<(), SinkError> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(above)?;
    match fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("making the folder", folder, &error)),
    }
    sync_folder(above)
}

/// Writes a file that is durable but for its name.
fn write_flushed(path: &Path, content: &[u8]) -> Result<(), SinkError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| failed("writing", path, &error))
}

fn above(path: &Path) -> &Path {
    path.parent().expect("a path under the root has a folder")
}

#[async_trait]
impl Store for LocalStore {
    async fn begin(&self, path: &str, aside: &str) -> Result<Upload, SinkError> {
        let aside = format!("{OWN_FOLDER}/aside/{aside}");
        let full = self.root.join(&aside);
        self.blocking(move || {
            make_folder(above(&full))?;
            File::create(&full).map(drop).map_err(|error| failed("creating", &full, &error))
        })
        .await?;
        Ok(Upload { path: path.to_owned(), bytes: 0, staged: Staged::Aside { aside }, pending: Vec::new() })
    }

    async fn append(&self, upload: &mut Upload, bytes: Vec<u8>) -> Result<(), SinkError> {
        let Staged::Aside { aside } = &upload.staged else { panic!("an upload of another store") };
        let full = self.root.join(aside);
        let (length, at) = (bytes.len() as u64, upload.bytes);
        self.blocking(move || {
            use std::os::unix::fs::FileExt;
            let file = File::options().write(true).open(&full);
            // At its place, not at the end: a write that failed half way is written over.
            file.and_then(|file| file.write_all_at(&bytes, at))
                .map_err(|error| failed("writing", &full, &error))
        })
        .await?;
        upload.bytes += length;
        Ok(())
    }

    async fn seal(&self, upload: &mut Upload) -> Result<(), SinkError> {
        let Staged::Aside { aside } = &upload.staged else { panic!("an upload of another store") };
        let full = self.root.join(aside);
        self.blocking(move || {
            let file = File::options().write(true).open(&full);
            file.and_then(|file| file.sync_all()).map_err(|error| failed("flushing", &full, &error))?;
            sync_folder(above(&full))
        })
        .await
    }

    async fn publish(&self, file: &FilePlace) -> Result<(), SinkError> {
        let Staged::Aside { aside } = &file.staged else {
            return Err(SinkError::Setup(format!("an entry of another store names {}", file.path)));
        };
        let (from, to) = (self.root.join(aside), self.root.join(&file.path));
        self.blocking(move || {
            make_folder(above(&to))?;
            match fs::rename(&from, &to) {
                Ok(()) => {}
                // Carried out before, here or by another owner.
                Err(error) if error.kind() == io::ErrorKind::NotFound && to.is_file() => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(SinkError::Setup(format!(
                        "making {} visible: neither it nor {} is there, though a commit names them; \
                         someone has removed files under {OWN_FOLDER}",
                        to.display(),
                        from.display()
                    )));
                }
                Err(error) => return Err(failed("renaming to", &to, &error)),
            }
            sync_folder(above(&to))
        })
        .await
    }

    async fn discard(&self, staged: &Staged, _path: &str) {
        if let Staged::Aside { aside } = staged {
            let full = self.root.join(aside);
            let _ = self.blocking(move || Ok(fs::remove_file(full))).await;
        }
    }

    async fn create(&self, folder: &str, name: &str, content: Bytes) -> Result<Created, SinkError> {
        let (temporary, full) = (self.temporary(), self.root.join(folder).join(name));
        self.blocking(move || {
            make_folder(above(&temporary))?;
            make_folder(above(&full))?;
            write_flushed(&temporary, &content)?;
            let linked = fs::hard_link(&temporary, &full);
            let _ = fs::remove_file(&temporary);
            match linked {
                Ok(()) => {
                    sync_folder(above(&full))?;
                    Ok(Created::Here)
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Created::Before),
                Err(error) => Err(failed("creating", &full, &error)),
            }
        })
        .await
    }

    async fn overwrite(&self, folder: &str, name: &str, content: Bytes) -> Result<(), SinkError> {
        let (temporary, full) = (self.temporary(), self.root.join(folder).join(name));
        self.blocking(move || {
            make_folder(above(&temporary))?;
            make_folder(above(&full))?;
            write_flushed(&temporary, &content)?;
            fs::rename(&temporary, &full).map_err(|error| failed("renaming to", &full, &error))?;
            sync_folder(above(&full))
        })
        .await
    }

    async fn read(&self, folder: &str, name: &str) -> Result<Option<Bytes>, SinkError> {
        let full = self.root.join(folder).join(name);
        self.blocking(move || match fs::read(&full) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("reading", &full, &error)),
        })
        .await
    }

    async fn list(&self, folder: &str, after: &str) -> Result<Vec<String>, SinkError> {
        let (full, after) = (self.root.join(folder), after.to_owned());
        self.blocking(move || {
            let mut names = names_in(&full)?;
            names.retain(|name| *name > after);
            names.sort();
            Ok(names)
        })
        .await
    }

    async fn remove(&self, folder: &str, name: &str) -> Result<(), SinkError> {
        let full = self.root.join(folder).join(name);
        self.blocking(move || match fs::remove_file(&full) {
            Ok(()) => sync_folder(above(&full)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("removing", &full, &error)),
        })
        .await
    }

    async fn sweep(&self, prefix: &str, below: &str) -> Result<(), SinkError> {
        let folder = self.root.join(OWN_FOLDER).join("aside");
        let (prefix, below) = (prefix.to_owned(), below.to_owned());
        self.blocking(move || {
            for name in names_in(&folder)? {
                if name.starts_with(&prefix) && name < below {
                    let _ = fs::remove_file(folder.join(name));
                }
            }
            Ok(())
        })
        .await
    }
}

fn names_in(folder: &Path) -> Result<Vec<String>, SinkError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("listing", folder, &error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    names.collect::<io::Result<_>>().map_err(|error| failed("listing", folder, &error))
}
