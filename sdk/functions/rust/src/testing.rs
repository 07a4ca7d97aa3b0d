//! Unit tests of a function, without Wasm: records in, messages and failures out, tables and configuration given by
//! the test.

#[cfg(not(target_arch = "wasm32"))]
pub use native::{Bench, KeyAndValue, Result};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{config, log, lookup, table_version};

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use crate::{Context, Failure, Function, Level, Output};
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    type Table = BTreeMap<Vec<u8>, Vec<u8>>;

    #[derive(Default)]
    struct Host {
        config: BTreeMap<String, String>,
        tables: BTreeMap<String, Table>,
        lines: Vec<(Level, String)>,
    }

    thread_local! {
        static HOST: RefCell<Host> = RefCell::new(Host::default());
    }

    /// A message's key and value.
    pub type KeyAndValue = (Option<Vec<u8>>, Option<Vec<u8>>);

    /// What became of one record.
    pub type Result = std::result::Result<Vec<KeyAndValue>, Failure>;

    /// A function on the bench.
    pub struct Bench<F> {
        function: F,
        context: Context,
    }

    impl<F: Function> Bench<F> {
        /// Calls `init` with this configuration and these tables; they hold for the thread.
        pub fn new(
            config: &[(&str, &str)],
            tables: &[(&str, &[(&str, &str)])],
        ) -> std::result::Result<Bench<F>, Failure> {
            let rows = |rows: &[(&str, &str)]| -> Table {
                rows.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
            };
            HOST.set(Host {
                config: config.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
                tables: tables.iter().map(|(name, table)| (name.to_string(), rows(table))).collect(),
                lines: Vec::new(),
            });
            let mut context = Context::new();
            Ok(Bench { function: F::init(&mut context)?, context })
        }

        /// Processes one record of this value.
        pub fn process(&mut self, value: &[u8]) -> Result {
            let message = crate::Message {
                key: None,
                value: Some(value),
                timestamp_ms: 0,
                partition: 0,
                offset: 0,
                headers: crate::batch::Records::no_headers(),
            };
            let mut output = Output::new();
            output.start(value.len());
            output.start_record(0);
            self.function.process(&message, &mut self.context, &mut output)?;
            Ok(output.messages())
        }
    }

    pub(crate) fn log(level: Level, text: &str) {
        HOST.with_borrow_mut(|host| host.lines.push((level, text.to_owned())));
    }

    pub(crate) fn config(key: &str) -> Option<String> {
        HOST.with_borrow(|host| host.config.get(key).cloned())
    }

    pub(crate) fn table_version(table: &str) -> u64 {
        HOST.with_borrow(|host| u64::from(host.tables.contains_key(table)))
    }

    pub(crate) fn lookup(table: &str, keys: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        HOST.with_borrow(|host| {
            let table = host.tables.get(table).unwrap_or_else(|| panic!("no table {table}"));
            keys.iter().map(|key| table.get(*key).cloned()).collect()
        })
    }
}
