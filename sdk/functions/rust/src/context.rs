//! What a function may ask: its configuration, its tables, the worker's log. Looked-up values are kept for as long as
//! the host says that the table has not changed, which is asked once for each batch.

use crate::host;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The most keys of one table whose values an instance keeps. Beyond it the cache starts anew.
const CACHED_KEYS_MAX: usize = 65_536;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the function's author.
    Debug,
    /// Of interest.
    Info,
    /// To be looked at some day.
    Warn,
    /// To be looked at now.
    Error,
}

/// The function's side of the host.
#[derive(Debug, Default)]
pub struct Context {
    tables: Vec<Cache>,
}

#[derive(Debug)]
struct Cache {
    table: String,
    version: u64,
    checked: bool,
    values: Values,
}

type Values = HashMap<Box<[u8]>, Option<Box<[u8]>>, BuildHasherDefault<Fnv>>;

impl Context {
    pub(crate) const fn new() -> Context {
        Context { tables: Vec::new() }
    }

    /// A line for the worker's log. Only the first 100 of a batch are kept.
    pub fn log(&self, level: Level, text: &str) {
        host::log(level, text);
    }

    /// A value of the function's `config` in the pipeline file.
    pub fn config(&self, key: &str) -> Option<String> {
        host::config(key)
    }

    /// The value of a key in a table that the pipeline lists under the function's `lookup`. Traps for any other
    /// table. Values are cached in the instance until the table changes.
    pub fn lookup(&mut self, table: &str, key: &[u8]) -> Option<&[u8]> {
        let at = match self.tables.iter().position(|cache| cache.table == table) {
            Some(at) => at,
            None => {
                self.tables.push(Cache {
                    table: table.to_owned(),
                    version: 0,
                    checked: false,
                    values: Values::default(),
                });
                self.tables.len() - 1
            }
        };
        let cache = &mut self.tables[at];
        if !cache.checked {
            let version = host::table_version(table);
            if version != cache.version {
                cache.values.clear();
                cache.version = version;
            }
            cache.checked = true;
        }
        if !cache.values.contains_key(key) {
            if cache.values.len() >= CACHED_KEYS_MAX {
                cache.values.clear();
            }
            let value = host::lookup(table, &[key]).pop().flatten();
            cache.values.insert(key.into(), value.map(Vec::into_boxed_slice));
        }
        cache.values.get(key)?.as_deref()
    }

    /// The values of many keys at once, past the cache.
    pub fn lookup_all(&self, table: &str, keys: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        host::lookup(table, keys)
    }

    /// The version of a table's content: it changes whenever the content does, and never during a batch.
    pub fn table_version(&self, table: &str) -> u64 {
        host::table_version(table)
    }

    pub(crate) fn start_batch(&mut self) {
        self.tables.iter_mut().for_each(|cache| cache.checked = false);
    }
}

/// FNV-1a: keys come from one's own tables and are short, and the cache is bounded.
#[derive(Clone, Copy, Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_usize(&mut self, n: usize) {
        self.0 = (self.0 ^ n as u64).wrapping_mul(0x0100_0000_01b3);
    }

    fn finish(&self) -> u64 {
        // The table takes its bucket from the low bits and its tag from the high ones.
        self.0 ^ (self.0 >> 29)
    }
}
