//! Functions as plain modules: the ABI of `sdk/functions/README.md` for toolchains that cannot make components.

use crate::call::{Fault, Outcome};
use crate::host::{self, FUNCTIONS, Level, State};
use crate::packed::{Batch, read_outcome};
use bytes::Bytes;
use wasmtime::{Caller, Engine, Instance, Linker, Memory, Module, Store, TypedFunc};

/// The module that plain guests import the host's functions from.
const HOST: &str = "millstream";
/// The layout that this host speaks.
const ABI_VERSION: i32 = 1;
/// The most bytes that a guest may pass in one host call.
const ARGUMENT_BYTES_MAX: usize = 16 << 20;

fn import_name(at: usize) -> String {
    FUNCTIONS[at].replace('-', "_")
}

/// The linker with all that is allowed.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap(
        HOST,
        &import_name(0),
        |mut caller: Caller<'_, State>, level: i32, at: i32, length: i32| {
            host::charge(&mut caller, 1)?;
            let level = match level {
                0 => Level::Debug,
                1 => Level::Info,
                2 => Level::Warn,
                3 => Level::Error,
                other => return Err(wasmtime::format_err!("log level {other}, it must be from 0 to 3")),
            };
            let text = read_text(&mut caller, at, length)?;
            caller.data_mut().log(level, &text);
            Ok(())
        },
    )?;
    linker.func_wrap(HOST, &import_name(1), |mut caller: Caller<'_, State>, at: i32, length: i32| {
        host::charge(&mut caller, 1)?;
        let key = read_text(&mut caller, at, length)?;
        match caller.data().config(&key).map(str::to_owned) {
            Some(value) => give(&mut caller, value.as_bytes()),
            None => Ok(-1),
        }
    })?;
    linker.func_wrap(HOST, &import_name(2), |mut caller: Caller<'_, State>, at: i32, length: i32| {
        host::charge(&mut caller, 1)?;
        let table = read_text(&mut caller, at, length)?;
        Ok(caller.data().table_version(&table).cast_signed())
    })?;
    linker.func_wrap(
        HOST,
        &import_name(3),
        |mut caller: Caller<'_, State>, table_at: i32, table_length: i32, keys_at: i32, keys_length: i32| {
            let table = read_text(&mut caller, table_at, table_length)?;
            let keys = read(&mut caller, keys_at, keys_length)?;
            let keys = split_keys(&keys).ok_or_else(|| wasmtime::format_err!("a broken list of keys"))?;
            host::charge(&mut caller, keys.len())?;
            let table = caller.data().table(&table)?;
            let mut answer = Vec::from((keys.len() as u32).to_le_bytes());
            for key in keys {
                match table.get(key) {
                    Some(value) => {
                        let length = i32::try_from(value.len())?;
                        answer.extend_from_slice(&length.to_le_bytes());
                        answer.extend_from_slice(value);
                    }
                    None => answer.extend_from_slice(&(-1_i32).to_le_bytes()),
                }
            }
            give(&mut caller, &answer)
        },
    )?;
    Ok(linker)
}

/// Imports that are not offered, and all that are.
pub(crate) fn unknown_imports(module: &Module) -> (Vec<String>, Vec<String>) {
    let allowed: Vec<String> = (0..FUNCTIONS.len()).map(|at| format!("{HOST}.{}", import_name(at))).collect();
    let imports = module.imports().map(|import| format!("{}.{}", import.module(), import.name()));
    (imports.filter(|import| !allowed.contains(import)).collect(), allowed)
}

/// Whether a module exports what the ABI asks for.
pub(crate) fn check_exports(module: &Module) -> Result<(), String> {
    for name in ["memory", "abi_version", "allocate", "process"] {
        if module.get_export(name).is_none() {
            return Err(format!("the export `{name}` is missing"));
        }
    }
    Ok(())
}

fn split_keys(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (count, mut rest) = bytes.split_first_chunk::<4>()?;
    let mut keys = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (key, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        keys.push(key);
        rest = after;
    }
    rest.is_empty().then_some(keys)
}

/// Bytes of the guest's memory, copied.
fn read(caller: &mut Caller<'_, State>, at: i32, length: i32) -> wasmtime::Result<Vec<u8>> {
    let memory = caller_memory(caller)?;
    let (at, length) = (at.cast_unsigned() as usize, length.cast_unsigned() as usize);
    if length > ARGUMENT_BYTES_MAX {
        return Err(wasmtime::format_err!(
            "an argument of {length} bytes, the bound is {ARGUMENT_BYTES_MAX}"
        ));
    }
    match memory.data(&*caller).get(at..).and_then(|rest| rest.get(..length)) {
        Some(bytes) => Ok(bytes.to_vec()),
        None => Err(wasmtime::format_err!("an argument of {length} bytes at {at} is outside the memory")),
    }
}

fn read_text(caller: &mut Caller<'_, State>, at: i32, length: i32) -> wasmtime::Result<String> {
    String::from_utf8(read(caller, at, length)?)
        .map_err(|_| wasmtime::format_err!("a text that is not UTF-8"))
}

fn caller_memory(caller: &mut Caller<'_, State>) -> wasmtime::Result<Memory> {
    let export = caller.get_export("memory").and_then(wasmtime::Extern::into_memory);
    export.ok_or_else(|| wasmtime::format_err!("the export `memory` is no memory"))
}

/// Puts bytes where the guest allocates them.
fn give(caller: &mut Caller<'_, State>, bytes: &[u8]) -> wasmtime::Result<i64> {
    let memory = caller_memory(caller)?;
    let export = caller.get_export("allocate").and_then(wasmtime::Extern::into_func);
    let allocate = export.ok_or_else(|| wasmtime::format_err!("the export `allocate` is no function"))?;
    let at = allocate.typed::<i32, i32>(&*caller)?.call(&mut *caller, i32::try_from(bytes.len())?)?;
    if at == 0 {
        return Err(wasmtime::format_err!("allocate had no place for {} bytes", bytes.len()));
    }
    memory.write(&mut *caller, at.cast_unsigned() as usize, bytes)?;
    Ok((i64::from(at.cast_unsigned()) << 32) | i64::try_from(bytes.len())?)
}

/// The exports of an instance.
pub(crate) struct Exports {
    memory: Memory,
    allocate: TypedFunc<i32, i32>,
    process: TypedFunc<(i32, i32), i64>,
    init: Option<TypedFunc<(), ()>>,
    initialize: Option<TypedFunc<(), ()>>,
    abi_version: TypedFunc<(), i32>,
}

impl Exports {
    pub(crate) fn new(instance: &Instance, store: &mut Store<State>) -> wasmtime::Result<Exports> {
        let mut optional = |name| match instance.get_func(&mut *store, name) {
            Some(function) => function.typed::<(), ()>(&*store).map(Some),
            None => Ok(None),
        };
        let (init, initialize) = (optional("init")?, optional("_initialize")?);
        let memory = instance.get_memory(&mut *store, "memory");
        Ok(Exports {
            memory: memory.ok_or_else(|| wasmtime::format_err!("the export `memory` is no memory"))?,
            allocate: instance.get_typed_func(&mut *store, "allocate")?,
            process: instance.get_typed_func(&mut *store, "process")?,
            abi_version: instance.get_typed_func(&mut *store, "abi_version")?,
            init,
            initialize,
        })
    }

    pub(crate) fn init(&self, store: &mut Store<State>) -> wasmtime::Result<()> {
        if let Some(initialize) = &self.initialize {
            initialize.call(&mut *store, ())?;
        }
        let version = self.abi_version.call(&mut *store, ())?;
        if version != ABI_VERSION {
            return Err(wasmtime::format_err!("abi_version is {version}, this host speaks {ABI_VERSION}"));
        }
        match &self.init {
            Some(init) => init.call(store, ()),
            None => Ok(()),
        }
    }

    pub(crate) fn process(
        &self,
        store: &mut Store<State>,
        batch: &Batch,
        output_bytes_max: usize,
    ) -> wasmtime::Result<Result<Outcome, Fault>> {
        let bytes = batch.bytes();
        let length = i32::try_from(bytes.len())?;
        let at = self.allocate.call(&mut *store, length)?;
        if at == 0 {
            return Err(wasmtime::format_err!("allocate had no place for {length} bytes"));
        }
        self.memory.write(&mut *store, at.cast_unsigned() as usize, bytes)?;
        let answer = self.process.call(&mut *store, (at, length))?.cast_unsigned();
        let (at, length) = ((answer >> 32) as usize, (answer & 0xffff_ffff) as usize);
        if length > output_bytes_max {
            return Ok(Err(Fault::OutputTooLarge { limit: output_bytes_max }));
        }
        let memory = self.memory.data(&*store);
        let Some(output) = memory.get(at..).and_then(|rest| rest.get(..length)) else {
            return Ok(Err(Fault::BadOutput {
                text: format!("{length} bytes at {at} are outside the memory"),
            }));
        };
        let output = Bytes::copy_from_slice(output);
        Ok(read_outcome(&output, batch.len()).map_err(|text| Fault::BadOutput { text }))
    }
}
