//! What is one file's alone: its pipeline's name, by which groups, topics and state are, and the topics in the middle of it, which it
//! reads again. Two files with the same would take from each other: one that ran keeps what it has for as long as it says so, and where
//! none has, neither of them gets it until a file has changed. Never enters: files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_spec::ast::{Broker, Operator};
use millstream_worker::Opened;
use parking_lot::Mutex;
use tokio::sync::watch;

/// What a file says that is its own alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// In words.
    pub what: String,
    /// Where it counts: a cluster's address; empty for all.
    broker: String,
}

/// A file's names, and where it says them: `file:line:column`.
pub type Said = BTreeMap<Name, String>;

/// The names that a version has.
pub fn of(version: &Opened) -> Said {
    let mut said = Said::new();
    let Some((pipeline, _)) = &version.parts else { return said };
    let name = Name { what: format!("the name \"{}\"", pipeline.name.value), broker: String::new() };
    said.insert(name, version.sources.locate(pipeline.name.span));
    let broker = match &pipeline.broker {
        Broker::Embedded => "embedded".to_owned(),
        Broker::Cluster(cluster) => {
            cluster.bootstrap.iter().map(|at| at.value.as_str()).collect::<Vec<_>>().join(",")
        }
    };
    for transform in pipeline.transforms.values() {
        if let Operator::Topic(op) = &transform.op
            && let Some(topic) = pipeline.topics.get(&op.topic.value)
        {
            let what = format!("the topic \"{}\" in the middle of a pipeline", topic.name.value);
            said.insert(Name { what, broker: broker.clone() }, version.sources.locate(topic.name.span));
        }
    }
    said
}

/// See the module.
pub struct Names {
    names: Mutex<BTreeMap<Name, Sayers>>,
    /// How often one was let go of.
    freed: watch::Sender<u64>,
}

#[derive(Default)]
struct Sayers {
    /// The files that say it, and where.
    said: BTreeMap<PathBuf, String>,
    /// The one that runs.
    running: Option<PathBuf>,
    /// The one that ran last, between two runs too, until it does not say the name any more.
    holder: Option<PathBuf>,
}

/// A name that is another file's too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What it is, in words.
    pub what: String,
    /// Where this file says it.
    pub here: String,
    /// Where the other does.
    pub there: String,
    /// The other.
    pub file: PathBuf,
}

impl Default for Names {
    fn default() -> Names {
        Names { names: Mutex::default(), freed: watch::Sender::new(0) }
    }
}

impl Names {
    /// A file says these names, and no others from now on. The first that is another file's, if there is one.
    pub fn say(&self, file: &Path, said: &Said) -> Option<Taken> {
        let mut names = self.names.lock();
        let mut is_freed = false;
        for (_, of) in names.iter_mut().filter(|(name, _)| !said.contains_key(*name)) {
            is_freed |= of.said.remove(file).is_some();
            of.holder.take_if(|holder| holder == file);
        }
        if is_freed {
            self.freed.send_modify(|count| *count += 1);
        }
        for (name, here) in said {
            names.entry(name.clone()).or_default().said.insert(file.to_owned(), here.clone());
        }
        said.iter().find_map(|(name, here)| {
            let of = names.get(name)?;
            let other = match of.running.as_ref().or(of.holder.as_ref()) {
                Some(has) if has == file => return None,
                Some(has) => has,
                None => of.said.keys().find(|said| *said != file)?,
            };
            let there = of.said.get(other).cloned().unwrap_or_else(|| other.display().to_string());
            Some(Taken { what: name.what.clone(), here: here.clone(), there, file: other.clone() })
        })
    }

    /// A file that says names and may have them runs.
    pub fn runs(&self, file: &Path, said: &Said) {
        let mut names = self.names.lock();
        for name in said.keys() {
            let of = names.entry(name.clone()).or_default();
            (of.running, of.holder) = (Some(file.to_owned()), Some(file.to_owned()));
        }
    }

    /// It does not run any more, and may again.
    pub fn ran(&self, file: &Path) {
        for of in self.names.lock().values_mut() {
            of.running.take_if(|running| running == file);
        }
        self.freed.send_modify(|count| *count += 1);
    }

    /// Changes when a name was let go of.
    pub fn freed(&self) -> watch::Receiver<u64> {
        self.freed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_files() {
        let (a, b, c) = (Path::new("a.yaml"), Path::new("b.yaml"), Path::new("c.yaml"));
        let said = |what: &str, place: &str| {
            Said::from([(Name { what: what.to_owned(), broker: String::new() }, place.to_owned())])
        };
        let names = Names::default();
        let there = |file: &Path, said: &Said| names.say(file, said).map(|taken| (taken.here, taken.there));
        let both = |here: &str, there: &str| Some((here.to_owned(), there.to_owned()));
        // Before any runs, none of two has it.
        assert_eq!(there(a, &said("orders", "a:2")), None);
        assert_eq!(there(b, &said("orders", "b:3")), both("b:3", "a:2"));
        assert_eq!(there(a, &said("orders", "a:2")), both("a:2", "b:3"));
        let mut freed = names.freed();
        assert_eq!(there(b, &said("returns", "b:3")), None);
        assert!(freed.has_changed().is_ok_and(|changed| changed), "whoever waits looks again");
        assert_eq!(there(a, &said("orders", "a:2")), None);
        names.runs(a, &said("orders", "a:2"));
        // One that runs keeps it, whatever is written.
        assert_eq!(there(b, &said("orders", "b:3")), both("b:3", "a:2"));
        assert_eq!(there(a, &said("orders", "a:1")), None);
        // Another file of the same pipeline gets it when the run has ended.
        names.say(a, &Said::new());
        assert_eq!(there(c, &said("orders", "c:2")), both("c:2", "a.yaml"));
        names.say(b, &Said::new());
        freed.mark_unchanged();
        names.ran(a);
        assert!(freed.has_changed().is_ok_and(|changed| changed));
        assert_eq!(there(c, &said("orders", "c:2")), None);
        names.runs(c, &said("orders", "c:2"));
        names.ran(a);
        assert_eq!(there(b, &said("orders", "b:3")), both("b:3", "c:2"));
        // Between two runs of it, too.
        names.ran(c);
        assert_eq!(there(b, &said("orders", "b:3")), both("b:3", "c:2"));
        assert_eq!(there(c, &said("orders", "c:2")), None);
        // Until it says another.
        assert_eq!(there(c, &said("returns", "c:2")), None);
        assert_eq!(there(b, &said("orders", "b:3")), None);
    }
}
