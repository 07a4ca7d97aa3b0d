//! Where savepoints are kept: manifests by name, and files of records beside them. Content first, the manifest last and only
//! where its name is free; what is deleted goes the other way round. So whatever is named by a manifest is whole, and what a
//! creation that broke off has left is named by none. Never enters: which kind of store it is, what records mean.

use std::sync::Arc;

use bytes::Bytes;
use millstream_connector::{SinkError, async_trait};
use millstream_object_store::store::{Created, Store};

use super::manifest::{Content, File, Manifest, check_name};
use crate::error::WorkerError;

/// The folder of manifests.
const MANIFESTS: &str = "manifests";
/// The folder of records.
const CONTENT: &str = "content";
/// What a manifest's file ends in.
const ENDING: &str = ".savepoint";

/// What savepoints need of a store.
#[async_trait]
pub trait Objects: Send + Sync {
    /// Creates an object; false where there is one. Durable when the call returns.
    async fn create(&self, folder: &str, name: &str, content: Bytes) -> Result<bool, SinkError>;
    /// Writes an object, whether or not there is one. Durable when the call returns.
    async fn overwrite(&self, folder: &str, name: &str, content: Bytes) -> Result<(), SinkError>;
    /// An object's content, where there is one.
    async fn read(&self, folder: &str, name: &str) -> Result<Option<Bytes>, SinkError>;
    /// The names in a folder, in order.
    async fn list(&self, folder: &str) -> Result<Vec<String>, SinkError>;
    /// Removes an object; one that is not there is no error.
    async fn remove(&self, folder: &str, name: &str) -> Result<(), SinkError>;
}

#[async_trait]
impl Objects for Arc<dyn Store> {
    async fn create(&self, folder: &str, name: &str, content: Bytes) -> Result<bool, SinkError> {
        Ok(Store::create(self.as_ref(), folder, name, content).await? == Created::Here)
    }

    async fn overwrite(&self, folder: &str, name: &str, content: Bytes) -> Result<(), SinkError> {
        Store::overwrite(self.as_ref(), folder, name, content).await
    }

    async fn read(&self, folder: &str, name: &str) -> Result<Option<Bytes>, SinkError> {
        Store::read(self.as_ref(), folder, name).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, SinkError> {
        Store::list(self.as_ref(), folder, "").await
    }

    async fn remove(&self, folder: &str, name: &str) -> Result<(), SinkError> {
        Store::remove(self.as_ref(), folder, name).await
    }
}

/// A place for savepoints.
pub struct Place {
    objects: Box<dyn Objects>,
    /// As the user named it.
    url: String,
}

/// What becomes of a savepoint that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfThere {
    /// It stays, and the new one is refused.
    Refuse,
    /// The new one takes its place.
    Replace,
}

impl Place {
    /// A place in a store that is called `url`.
    pub fn new(objects: Box<dyn Objects>, url: &str) -> Place {
        Place { objects, url: url.to_owned() }
    }

    /// How the user named it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The names of the savepoints.
    pub async fn names(&self) -> Result<Vec<String>, WorkerError> {
        let files = self.objects.list(MANIFESTS).await?;
        Ok(files.iter().filter_map(|file| file.strip_suffix(ENDING)).map(str::to_owned).collect())
    }

    /// A savepoint's manifest, where there is one.
    pub async fn find(&self, name: &str) -> Result<Option<Manifest>, WorkerError> {
        check_name(name).map_err(WorkerError::Setup)?;
        let file = format!("{name}{ENDING}");
        let Some(found) = self.objects.read(MANIFESTS, &file).await? else { return Ok(None) };
        let broken = |why: String| {
            WorkerError::Setup(format!(
                "reading savepoint {name} in {}: the manifest {MANIFESTS}/{file} is damaged: {why}. Take it from a copy, or use \
                 another savepoint",
                self.url
            ))
        };
        let manifest = Manifest::decode(&found).map_err(broken)?;
        match manifest.name == name {
            true => Ok(Some(manifest)),
            false => Err(broken(format!("it is that of savepoint {}", manifest.name))),
        }
    }

    /// A savepoint's manifest.
    pub async fn read(&self, name: &str) -> Result<Manifest, WorkerError> {
        if let Some(found) = self.find(name).await? {
            return Ok(found);
        }
        let left = self.left_of(name).await?;
        let more = match left.len() {
            0 => String::new(),
            n => format!(
                "; {n} files of it are there without a manifest, so taking it broke off, or somebody has removed {MANIFESTS}/{name}{ENDING}"
            ),
        };
        let names = self.names().await?;
        let there = if names.is_empty() { "no savepoint".to_owned() } else { names.join(", ") };
        Err(WorkerError::Setup(format!(
            "there is no savepoint {name} in {}{more}. There is {there}",
            self.url
        )))
    }

    /// The content files of a name, of every time that it was taken.
    async fn left_of(&self, name: &str) -> Result<Vec<String>, WorkerError> {
        let files = self.objects.list(CONTENT).await?;
        let of = |file: &String| is_file_of(file, name);
        Ok(files.into_iter().filter(of).collect())
    }

    /// Writes a file of records, whose name is nobody else's.
    pub async fn write(&self, name: String, content: Vec<u8>) -> Result<File, WorkerError> {
        let file = File::of(name, &content);
        // One that is there is this one: its answer was lost.
        self.objects.create(CONTENT, &file.name, content.into()).await?;
        Ok(file)
    }

    /// A file of records, as it was written (SV-1).
    pub async fn content(&self, name: &str, file: &File) -> Result<Bytes, WorkerError> {
        let found = self.objects.read(CONTENT, &file.name).await?;
        file.check(found.as_ref()).map_err(|why| {
            WorkerError::Setup(format!(
                "reading savepoint {name} in {}: {CONTENT}/: {why}. The savepoint is damaged and nothing of it is used; take the \
                 file from a copy, or use another savepoint",
                self.url
            ))
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Makes a savepoint of its content: from now on it is there.
    pub async fn publish(&self, manifest: &Manifest, if_there: IfThere) -> Result<(), WorkerError> {
        let file = format!("{}{ENDING}", manifest.name);
        if if_there == IfThere::Replace {
            self.objects.overwrite(MANIFESTS, &file, manifest.encode()).await?;
            return self.sweep(manifest).await;
        }
        if !self.objects.create(MANIFESTS, &file, manifest.encode()).await?
            && self.find(&manifest.name).await?.as_ref() != Some(manifest)
        {
            return Err(self.is_there(&manifest.name));
        }
        Ok(())
    }

    /// What to say of a name that is taken.
    pub fn is_there(&self, name: &str) -> WorkerError {
        WorkerError::Setup(format!(
            "there is a savepoint {name} in {} already; take another name, or say --replace",
            self.url
        ))
    }

    /// Removes the files of a name that its manifest does not know.
    async fn sweep(&self, manifest: &Manifest) -> Result<(), WorkerError> {
        let known: Vec<&str> = manifest
            .contents()
            .flat_map(|content: &Content| &content.files)
            .map(|file| file.name.as_str())
            .collect();
        for file in self.left_of(&manifest.name).await? {
            if !known.contains(&file.as_str()) {
                self.objects.remove(CONTENT, &file).await?;
            }
        }
        Ok(())
    }

    /// Deletes a savepoint, or what a creation that broke off has left of one: how many files of records.
    pub async fn delete(&self, name: &str) -> Result<usize, WorkerError> {
        check_name(name).map_err(WorkerError::Setup)?;
        let file = format!("{name}{ENDING}");
        let left = self.left_of(name).await?;
        if left.is_empty() && !self.objects.list(MANIFESTS).await?.contains(&file) {
            // For its words.
            self.read(name).await?;
        }
        self.objects.remove(MANIFESTS, &file).await?;
        for file in &left {
            self.objects.remove(CONTENT, file).await?;
        }
        Ok(left.len())
    }
}

/// The names of a savepoint's files, each time that it is taken: `attempt` is nobody else's.
pub fn file_name(name: &str, attempt: u64, number: usize) -> String {
    format!("{name}~{attempt:016x}~{number:06}")
}

/// Whether a file is of this savepoint; its name has no `~`.
fn is_file_of(file: &str, name: &str) -> bool {
    file.strip_prefix(name).is_some_and(|rest| rest.starts_with('~'))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use parking_lot::Mutex;

    use super::super::manifest::tests::example;
    use super::*;

    /// Objects in memory, shared with the test.
    #[derive(Clone, Default)]
    pub(crate) struct Memory(pub Arc<Mutex<BTreeMap<(String, String), Bytes>>>);

    #[async_trait]
    impl Objects for Memory {
        async fn create(&self, folder: &str, name: &str, content: Bytes) -> Result<bool, SinkError> {
            let mut all = self.0.lock();
            let key = (folder.to_owned(), name.to_owned());
            let free = !all.contains_key(&key);
            if free {
                all.insert(key, content);
            }
            Ok(free)
        }
        async fn overwrite(&self, folder: &str, name: &str, content: Bytes) -> Result<(), SinkError> {
            self.0.lock().insert((folder.to_owned(), name.to_owned()), content);
            Ok(())
        }
        async fn read(&self, folder: &str, name: &str) -> Result<Option<Bytes>, SinkError> {
            Ok(self.0.lock().get(&(folder.to_owned(), name.to_owned())).cloned())
        }
        async fn list(&self, folder: &str) -> Result<Vec<String>, SinkError> {
            Ok(self.0.lock().keys().filter(|(of, _)| of == folder).map(|(_, name)| name.clone()).collect())
        }
        async fn remove(&self, folder: &str, name: &str) -> Result<(), SinkError> {
            self.0.lock().remove(&(folder.to_owned(), name.to_owned()));
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_savepoint_is_there_once_its_manifest_is() {
        let memory = Memory::default();
        let place = Place::new(Box::new(memory.clone()), "memory");
        let file = place.write(file_name("monday", 7, 0), b"records".to_vec()).await.unwrap();
        let half = place.read("monday").await.unwrap_err().to_string();
        assert!(half.contains("1 files of it are there without a manifest"), "{half}");
        assert!(place.names().await.unwrap().is_empty());

        let mut manifest = example();
        manifest.positions.files = vec![file.clone()];
        place.publish(&manifest, IfThere::Refuse).await.unwrap();
        // The answer was lost, and it is written again.
        place.publish(&manifest, IfThere::Refuse).await.unwrap();
        assert_eq!(place.names().await.unwrap(), ["monday"]);
        assert_eq!(place.read("monday").await.unwrap(), manifest);
        assert_eq!(place.content("monday", &file).await.unwrap(), "records");

        let another = Manifest { taken_at_ms: 5, ..manifest.clone() };
        let refused = place.publish(&another, IfThere::Refuse).await.unwrap_err().to_string();
        assert!(refused.contains("there is a savepoint monday in memory already"), "{refused}");
        assert_eq!(place.read("monday").await.unwrap(), manifest);
        // What the one before had goes when the new one has its place, and nobody else's.
        place.write(file_name("monday-2", 7, 0), b"other".to_vec()).await.unwrap();
        let newer = place.write(file_name("monday", 8, 0), b"newer".to_vec()).await.unwrap();
        let another = Manifest { positions: Content { files: vec![newer], ..Content::default() }, ..another };
        place.publish(&another, IfThere::Replace).await.unwrap();
        let left = memory.list(CONTENT).await.unwrap();
        assert_eq!(left, ["monday-2~0000000000000007~000000", "monday~0000000000000008~000000"]);

        let gone = place.content("monday", &file).await.unwrap_err().to_string();
        assert!(gone.contains("monday~0000000000000007~000000 is not there"), "{gone}");
        assert_eq!(place.delete("monday").await.unwrap(), 1);
        assert!(place.names().await.unwrap().is_empty());
        let unknown = place.delete("monday").await.unwrap_err().to_string();
        assert!(unknown.contains("there is no savepoint monday"), "{unknown}");
    }

    #[tokio::test]
    async fn a_manifest_under_another_name_is_refused() {
        let memory = Memory::default();
        let place = Place::new(Box::new(memory.clone()), "memory");
        memory.overwrite(MANIFESTS, "friday.savepoint", example().encode()).await.unwrap();
        let error = place.read("friday").await.unwrap_err().to_string();
        assert!(error.contains("it is that of savepoint monday"), "{error}");
        assert!(
            place.read("../friday").await.unwrap_err().to_string().contains("cannot be a savepoint's name")
        );
    }
}
