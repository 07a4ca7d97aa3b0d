//! Any store behind `object_store`'s traits. A file is a multipart upload, which nobody sees before it is completed; an
//! entry is made by a conditional put. What a lost answer left open is settled by looking whether the object is there.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use millstream_connector::{Context, SinkError, async_trait};
use object_store::aws::AmazonS3Builder;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use url::Url;

use super::guarded_http::GuardedConnector;
use super::{Created, Store, Upload};
use crate::config::ObjectStoreSinkConfig;
use crate::entry::{FilePlace, Staged};
use crate::error::remote as failed;

/// A store that has both traits.
pub trait Multipart: ObjectStore + MultipartStore {}
impl<T: ObjectStore + MultipartStore> Multipart for T {}

/// An object store.
pub struct RemoteStore {
    store: Arc<dyn Multipart>,
    prefix: Path,
    part_size: usize,
}

impl RemoteStore {
    /// A store whose objects lie under `prefix`. All parts but the last have `part_size` bytes.
    pub fn new(store: Arc<dyn Multipart>, prefix: Path, part_size: usize) -> RemoteStore {
        RemoteStore { store, prefix, part_size }
    }

    /// `path` is made of names that are safe already, and of `/`.
    fn at(&self, path: &str) -> Path {
        let mut full = self.prefix.to_string();
        if !full.is_empty() {
            full.push('/');
        }
        full.push_str(path);
        // `parse` and not `from`: the percent signs are ours and are not to be escaped again.
        Path::parse(&full).unwrap_or_else(|_| Path::from(full))
    }

    async fn exists(&self, path: &Path) -> Result<bool, SinkError> {
        match self.store.head(path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(&format!("looking for {path}"), &error)),
        }
    }

    async fn put_part(&self, upload: &mut Upload, bytes: Vec<u8>) -> Result<(), SinkError> {
        let path = self.at(&upload.path);
        let Staged::Upload { upload_id, parts } = &mut upload.staged else {
            panic!("an upload of another store")
        };
        let part = self.store.put_part(&path, upload_id, parts.len(), bytes.into()).await;
        let part = part.map_err(|error| failed(&format!("uploading a part of {path}"), &error))?;
        parts.push(part.content_id);
        Ok(())
    }
}

/// The S3 store of a config.
pub fn s3(config: &ObjectStoreSinkConfig, context: &Context) -> Result<Arc<dyn Store>, SinkError> {
    let setup = |error: String| SinkError::Setup(format!("reading `url`: {error}"));
    let url = Url::parse(&config.url).map_err(|error| setup(error.to_string()))?;
    let bucket =
        url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| setup("it has no bucket".to_owned()))?;
    let prefix = Path::from_url_path(url.path()).map_err(|error| setup(error.to_string()))?;
    let s3 = &config.s3;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&s3.region)
        .with_allow_http(s3.allow_http)
        .with_http_connector(GuardedConnector::new(Arc::clone(&context.egress)));
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(key) = &s3.access_key_id {
        builder = builder.with_access_key_id(key.expose());
    }
    if let Some(key) = &s3.secret_access_key {
        builder = builder.with_secret_access_key(key.expose());
    }
    if let Some(token) = &s3.session_token {
        builder = builder.with_token(token.expose());
    }
    let store = builder.build().map_err(|error| SinkError::Setup(format!("reading `s3`: {error}")))?;
    Ok(Arc::new(RemoteStore::new(Arc::new(store), prefix, config.part_size.0 as usize)))
}

#[async_trait]
impl Store for RemoteStore {
    async fn begin(&self, path: &str, _aside: &str) -> Result<Upload, SinkError> {
        let full = self.at(path);
        let upload_id = self.store.create_multipart(&full).await;
        let upload_id =
            upload_id.map_err(|error| failed(&format!("beginning an upload of {full}"), &error))?;
        let staged = Staged::Upload { upload_id, parts: Vec::new() };
        Ok(Upload { path: path.to_owned(), bytes: 0, staged, pending: Vec::new() })
    }

    async fn append(&self, upload: &mut Upload, bytes: Vec<u8>) -> Result<(), SinkError> {
        upload.bytes += bytes.len() as u64;
        upload.pending.extend(bytes);
        while upload.pending.len() >= self.part_size {
            let rest = upload.pending.split_off(self.part_size);
            let part = std::mem::replace(&mut upload.pending, rest);
            self.put_part(upload, part).await?;
        }
        Ok(())
    }

    async fn seal(&self, upload: &mut Upload) -> Result<(), SinkError> {
        let rest = std::mem::take(&mut upload.pending);
        if rest.is_empty() { Ok(()) } else { self.put_part(upload, rest).await }
    }

    async fn publish(&self, file: &FilePlace) -> Result<(), SinkError> {
        let path = self.at(&file.path);
        let Staged::Upload { upload_id, parts } = &file.staged else {
            return Err(SinkError::Setup(format!("an entry of another store names {}", file.path)));
        };
        if self.exists(&path).await? {
            return Ok(());
        }
        let ids = parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        let Err(error) = self.store.complete_multipart(&path, upload_id, ids).await else { return Ok(()) };
        // The answer may have been lost, or another owner was first: then the object is there.
        if self.exists(&path).await? {
            return Ok(());
        }
        match error {
            object_store::Error::NotFound { .. } => Err(SinkError::Setup(format!(
                "completing the upload of {path}: it is gone, though a commit names it; a rule of the bucket has \
                 aborted it too early, and its rows are lost unless the input still holds them"
            ))),
            error => Err(failed(&format!("completing the upload of {path}"), &error)),
        }
    }

    async fn discard(&self, staged: &Staged, path: &str) {
        if let Staged::Upload { upload_id, .. } = staged {
            let _ = self.store.abort_multipart(&self.at(path), upload_id).await;
        }
    }

    async fn create(&self, folder: &str, name: &str, content: Bytes) -> Result<Created, SinkError> {
        let path = self.at(&format!("{folder}/{name}"));
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&path, content.into(), options).await {
            Ok(_) => Ok(Created::Here),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(Created::Before)
            }
            Err(error) => Err(failed(&format!("creating {path}"), &error)),
        }
    }

    async fn overwrite(&self, folder: &str, name: &str, content: Bytes) -> Result<(), SinkError> {
        let path = self.at(&format!("{folder}/{name}"));
        let put = self.store.put(&path, content.into()).await;
        put.map(drop).map_err(|error| failed(&format!("writing {path}"), &error))
    }

    async fn read(&self, folder: &str, name: &str) -> Result<Option<Bytes>, SinkError> {
        let path = self.at(&format!("{folder}/{name}"));
        let doing = |error: &object_store::Error| failed(&format!("reading {path}"), error);
        match self.store.get(&path).await {
            Ok(found) => found.bytes().await.map(Some).map_err(|error| doing(&error)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(doing(&error)),
        }
    }

    async fn list(&self, folder: &str, after: &str) -> Result<Vec<String>, SinkError> {
        let prefix = self.at(folder);
        let listed: Result<Vec<_>, _> = if after.is_empty() {
            self.store.list(Some(&prefix)).try_collect().await
        } else {
            let offset = self.at(&format!("{folder}/{after}"));
            self.store.list_with_offset(Some(&prefix), &offset).try_collect().await
        };
        let listed = listed.map_err(|error| failed(&format!("listing {prefix}"), &error))?;
        let mut names: Vec<String> =
            listed.iter().filter_map(|found| found.location.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    async fn remove(&self, folder: &str, name: &str) -> Result<(), SinkError> {
        let path = self.at(&format!("{folder}/{name}"));
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&format!("removing {path}"), &error)),
        }
    }

    async fn sweep(&self, _prefix: &str, _below: &str) -> Result<(), SinkError> {
        // Uploads of dead owners cannot be listed through `object_store`; a rule of the bucket ends them (README).
        Ok(())
    }
}
