//! The imports of `millstream:functions/host`, by the canonical ABI. Off wasm32, where functions are unit-tested,
//! the answers come from [`crate::testing`].

#[cfg(target_arch = "wasm32")]
pub(crate) use guest::{config, log, lookup, table_version};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::{config, log, lookup, table_version};

#[cfg(target_arch = "wasm32")]
mod guest {
    use crate::Level;
    use crate::abi::owned;

    #[link(wasm_import_module = "millstream:functions/host@0.1.0")]
    unsafe extern "C" {
        #[link_name = "log"]
        fn import_log(level: i32, text: *const u8, length: usize);
        #[link_name = "config"]
        fn import_config(key: *const u8, length: usize, answer: *mut Nullable);
        #[link_name = "table-version"]
        fn import_table_version(table: *const u8, length: usize) -> i64;
        #[link_name = "lookup"]
        fn import_lookup(
            table: *const u8,
            table_length: usize,
            keys: *const Slice,
            keys_length: usize,
            answer: *mut OwnedList,
        );
    }

    /// `option<string>` and `option<list<u8>>` in memory.
    #[repr(C)]
    struct Nullable {
        some: u8,
        bytes: *mut u8,
        length: usize,
    }

    /// `list<u8>` in memory, lent to the host.
    #[repr(C)]
    struct Slice {
        bytes: *const u8,
        length: usize,
    }

    /// `list<option<list<u8>>>` in memory, ours to free.
    #[repr(C)]
    struct OwnedList {
        items: *mut Nullable,
        length: usize,
    }

    impl Nullable {
        fn none() -> Nullable {
            Nullable { some: 0, bytes: std::ptr::null_mut(), length: 0 }
        }

        /// SAFETY: the host has written it, with bytes from `cabi_realloc`, and it is taken once.
        unsafe fn take(&self) -> Option<Vec<u8>> {
            (self.some != 0).then(|| unsafe { owned(self.bytes, self.length) })
        }
    }

    pub(crate) fn log(level: Level, text: &str) {
        // SAFETY: the text is lent for the call.
        unsafe { import_log(level as i32, text.as_ptr(), text.len()) }
    }

    pub(crate) fn config(key: &str) -> Option<String> {
        let mut answer = Nullable::none();
        // SAFETY: the key is lent for the call; the answer is written by it and taken once.
        let bytes = unsafe {
            import_config(key.as_ptr(), key.len(), &mut answer);
            answer.take()?
        };
        Some(String::from_utf8(bytes).expect("the host's strings are UTF-8"))
    }

    pub(crate) fn table_version(table: &str) -> u64 {
        // SAFETY: the name is lent for the call.
        unsafe { import_table_version(table.as_ptr(), table.len()).cast_unsigned() }
    }

    pub(crate) fn lookup(table: &str, keys: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let keys: Vec<Slice> =
            keys.iter().map(|key| Slice { bytes: key.as_ptr(), length: key.len() }).collect();
        let mut answer = OwnedList { items: std::ptr::NonNull::dangling().as_ptr(), length: 0 };
        // SAFETY: name and keys are lent for the call; the answer is a block from `cabi_realloc` of this many items,
        // each taken once, the block freed by the vector.
        let items = unsafe {
            import_lookup(table.as_ptr(), table.len(), keys.as_ptr(), keys.len(), &mut answer);
            Vec::from_raw_parts(answer.items, answer.length, answer.length)
        };
        // SAFETY: as above.
        items.iter().map(|item| unsafe { item.take() }).collect()
    }
}
