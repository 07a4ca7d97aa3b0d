//! `meta.properties`: whose a log directory is. Written once, as a Java properties file; checked at every start. Never
//! enters: formatting a cluster (the ids come in).

use std::collections::BTreeMap;
use std::path::Path;

use millstream_disk::disk::read_file;
use millstream_disk::{Disk, DiskError, durable};
use millstream_types::{NodeId, Uuid};

use crate::error::LogError;

const FILE: &str = "meta.properties";
const VERSION: &str = "1";
/// Our own key: the form of what is in the directory beside Kafka's files. A version that changes the form so that
/// earlier ones could not read it writes the next number; one that finds a higher number than it knows does not open
/// the directory. A file without it is of form 1: Kafka's, or of the time before the key.
const FORMAT_KEY: &str = "millstream.format";
const FORMAT: u32 = 1;

/// What a broker knows of itself when it opens a directory.
#[derive(Clone, Debug)]
pub struct DirIdentity {
    /// The cluster; `None` takes what the directory says.
    pub cluster_id: Option<String>,
    /// The node.
    pub node_id: NodeId,
    /// The id that a new directory gets.
    pub new_directory_id: Uuid,
}

/// What `meta.properties` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster.
    pub cluster_id: String,
    /// The node.
    pub node_id: NodeId,
    /// The directory.
    pub directory_id: Uuid,
}

/// Reads the file and checks it against the broker, or writes it where the directory is new.
pub(super) fn load_or_create(
    disk: &dyn Disk,
    dir: &Path,
    want: DirIdentity,
) -> Result<MetaProperties, LogError> {
    let path = dir.join(FILE);
    let bytes = match read_file(disk, &path, 1 << 16) {
        Ok(bytes) => bytes,
        Err(e) if e.is_not_found() => return create(disk, &path, want),
        Err(e) => return Err(e.into()),
    };
    let found = parse(&bytes).map_err(|what| DiskError::malformed(&path, what))?;
    let expected = want.cluster_id.as_ref().unwrap_or(&found.cluster_id);
    if found.cluster_id != *expected || found.node_id != want.node_id {
        let what = format!(
            "it belongs to node {} of cluster {}, and this is node {} of cluster {expected}; use another directory",
            found.node_id, found.cluster_id, want.node_id
        );
        return Err(DiskError::malformed(&path, what).into());
    }
    Ok(found)
}

fn create(disk: &dyn Disk, path: &Path, want: DirIdentity) -> Result<MetaProperties, LogError> {
    let Some(cluster_id) = want.cluster_id else {
        let what = "it is not there, and no cluster id was given; format the directory first";
        return Err(DiskError::malformed(path, what).into());
    };
    let made = MetaProperties { cluster_id, node_id: want.node_id, directory_id: want.new_directory_id };
    let text = format!(
        "#\ncluster.id={}\ndirectory.id={}\n{FORMAT_KEY}={FORMAT}\nnode.id={}\nversion={VERSION}\n",
        made.cluster_id, made.directory_id, made.node_id
    );
    durable::replace(disk, path, text.as_bytes())?;
    Ok(made)
}

fn parse(bytes: &[u8]) -> Result<MetaProperties, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let fields: BTreeMap<&str, &str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with(['#', '!']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let field = |name: &str| fields.get(name).copied().ok_or_else(|| format!("it has no {name}"));
    let version = field("version")?;
    if version != VERSION {
        return Err(format!("its version is {version}, and only {VERSION} is known"));
    }
    let format = fields.get(FORMAT_KEY).copied().unwrap_or("1");
    if !format.parse().is_ok_and(|format: u32| (1..=FORMAT).contains(&format)) {
        return Err(format!(
            "its {FORMAT_KEY} is {format}, and this version knows 1 to {FORMAT}; start it with the version that wrote it, or a newer one"
        ));
    }
    let node_id = field("node.id")?;
    let directory_id = field("directory.id")?;
    Ok(MetaProperties {
        // Java escapes these two in values.
        cluster_id: field("cluster.id")?.replace("\\:", ":").replace("\\=", "="),
        node_id: NodeId(node_id.parse().map_err(|_| format!("its node.id is \"{node_id}\", not a number"))?),
        directory_id: directory_id.parse().map_err(|e| format!("its directory.id: {e}"))?,
    })
}

#[cfg(test)]
mod tests {
    use millstream_disk::sim::SimDisk;

    use super::*;

    fn want(cluster: Option<&str>, node: i32) -> DirIdentity {
        let cluster_id = cluster.map(str::to_owned);
        DirIdentity { cluster_id, node_id: NodeId(node), new_directory_id: Uuid([9; 16]) }
    }

    #[test]
    fn a_directory_belongs_to_one_node() {
        let disk = SimDisk::new();
        let dir = Path::new("/");
        assert!(load_or_create(&disk, dir, want(None, 1)).is_err());
        let made = load_or_create(&disk, dir, want(Some("c"), 1)).unwrap();
        assert_eq!(load_or_create(&disk, dir, want(None, 1)).unwrap(), made);
        assert_eq!(load_or_create(&disk, dir, want(Some("c"), 1)).unwrap(), made);
        assert!(load_or_create(&disk, dir, want(Some("d"), 1)).is_err());
        assert!(load_or_create(&disk, dir, want(Some("c"), 2)).is_err());
    }

    #[test]
    fn kafkas_own_file_is_read() {
        let text = "#\n#Fri Nov 20 10:00:00 UTC 2026\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\nversion=1\ndirectory.id=kbXIOC-dXjh6gmcmGPgWSg\nnode.id=1\n";
        let found = parse(text.as_bytes()).unwrap();
        assert_eq!((found.cluster_id.as_str(), found.node_id), ("MkU3OEVBNTcwNTJENDM2Qg", NodeId(1)));
        for bad in
            ["version=0\n", "", "version=1\ncluster.id=c\nnode.id=x\ndirectory.id=kbXIOC-dXjh6gmcmGPgWSg\n"]
        {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_directory_of_a_later_form_is_not_opened() {
        let disk = SimDisk::new();
        let dir = Path::new("/");
        load_or_create(&disk, dir, want(Some("c"), 1)).unwrap();
        let path = dir.join(FILE);
        let text = String::from_utf8(read_file(&disk, &path, 1 << 16).unwrap()).unwrap();
        assert!(text.contains("millstream.format=1\n"), "{text}");
        for later in ["2", "x", "0"] {
            let later = text.replace("format=1", &format!("format={later}"));
            durable::replace(&disk, &path, later.as_bytes()).unwrap();
            let error = load_or_create(&disk, dir, want(Some("c"), 1)).unwrap_err().to_string();
            assert!(error.contains("this version knows 1 to 1"), "{error}");
        }
    }
}
