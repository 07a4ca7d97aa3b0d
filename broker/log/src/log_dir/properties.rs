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
        "#\ncluster.id={}\ndirectory.id={}\nnode.id={}\nversion={VERSION}\n",
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
}
