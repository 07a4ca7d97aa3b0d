//! Functions as components: the host's imports for them, and the calls of the worlds `packed` and `transform`.

use crate::call::Failed;
use crate::call::{Fault, Outcome};
use crate::host::{self, FUNCTIONS, HOST, Level, State, TYPES};
use crate::packed::{Batch, Emit, read_outcome};
use bytes::Bytes;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentType, Func, Lift, Linker, Lower, Type};
use wasmtime::{Engine, Store, StoreContextMut};

/// The linker with all that is allowed.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    linker.instance(TYPES)?;
    let mut host = linker.instance(HOST)?;
    host.func_wrap(FUNCTIONS[0], |mut store: StoreContextMut<'_, State>, (level, text): (Level, String)| {
        host::charge(&mut store, 1)?;
        store.data_mut().log(level, &text);
        Ok(())
    })?;
    host.func_wrap(FUNCTIONS[1], |mut store: StoreContextMut<'_, State>, (key,): (String,)| {
        host::charge(&mut store, 1)?;
        Ok((store.data().config(&key).map(str::to_owned),))
    })?;
    host.func_wrap(FUNCTIONS[2], |mut store: StoreContextMut<'_, State>, (table,): (String,)| {
        host::charge(&mut store, 1)?;
        Ok((store.data().table_version(&table),))
    })?;
    host.func_wrap(
        FUNCTIONS[3],
        |mut store: StoreContextMut<'_, State>, (table, keys): (String, Vec<Vec<u8>>)| {
            host::charge(&mut store, keys.len())?;
            let table = store.data().table(&table)?;
            let values: Vec<Option<Vec<u8>>> =
                keys.iter().map(|key| table.get(key).map(|value| value.to_vec())).collect();
            Ok((values,))
        },
    )?;
    Ok(linker)
}

/// Imports that are not offered, and all that are.
pub(crate) fn unknown_imports(engine: &Engine, component: &Component) -> (Vec<String>, Vec<String>) {
    let mut unknown = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        match item.ty {
            ComponentItem::ComponentInstance(_) if name == TYPES => {}
            ComponentItem::ComponentInstance(instance) if name == HOST => {
                for (function, item) in instance.exports(engine) {
                    if matches!(item.ty, ComponentItem::ComponentFunc(_)) && !FUNCTIONS.contains(&function) {
                        unknown.push(format!("{HOST}#{function}"));
                    }
                }
            }
            ComponentItem::ComponentInstance(instance) => {
                let functions: Vec<&str> = instance
                    .exports(engine)
                    .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                    .map(|(function, _)| function)
                    .collect();
                match functions.is_empty() {
                    true => unknown.push(name.to_owned()),
                    false => unknown.extend(functions.iter().map(|function| format!("{name}#{function}"))),
                }
            }
            _ => unknown.push(name.to_owned()),
        }
    }
    let allowed = FUNCTIONS.iter().map(|function| format!("{HOST}#{function}"));
    (unknown, allowed.collect())
}

/// Which world a component's `process` belongs to: true for `packed`, false for `transform`.
pub(crate) fn is_packed(engine: &Engine, component: &Component) -> Result<bool, String> {
    let ty = component.component_type();
    match ty.get_export(engine, "process").map(|item| item.ty) {
        Some(ComponentItem::ComponentFunc(function)) => {
            let mut params = function.params();
            match (params.next().map(|(_, ty)| ty), params.next()) {
                (Some(Type::List(list)), None) => Ok(matches!(list.ty(), Type::U8)),
                _ => Err("the export `process` does not take one list".to_owned()),
            }
        }
        _ => Err("the export `process` is missing".to_owned()),
    }
}

/// `failure`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitFailure {
    pub code: String,
    pub reason: String,
}

/// The exports of an instance.
pub(crate) struct Exports {
    pub init: Func,
    pub process: Func,
    pub packed: bool,
}

impl Exports {
    /// Whether both exports have the types of their world.
    pub(crate) fn check(&self, store: &Store<State>) -> wasmtime::Result<()> {
        self.init.typed::<(), (Result<(), WitFailure>,)>(store)?;
        if self.packed {
            self.process.typed::<(&[u8],), (Result<Vec<u8>, WitFailure>,)>(store)?;
        } else {
            self.process.typed::<(&[WitMessageIn<'_>],), (Result<WitOutcome, WitFailure>,)>(store)?;
        }
        Ok(())
    }

    pub(crate) fn init(&self, store: &mut Store<State>) -> wasmtime::Result<Result<(), WitFailure>> {
        Ok(self.init.typed::<(), (Result<(), WitFailure>,)>(&*store)?.call(store, ())?.0)
    }

    pub(crate) fn process(
        &self,
        store: &mut Store<State>,
        batch: &Batch,
    ) -> wasmtime::Result<Result<Outcome, Fault>> {
        let answer =
            if self.packed { self.process_packed(store, batch) } else { self.process_typed(store, batch) }?;
        Ok(answer.unwrap_or_else(|WitFailure { code, reason }| Err(Fault::Refused { code, reason })))
    }

    fn process_packed(
        &self,
        store: &mut Store<State>,
        batch: &Batch,
    ) -> wasmtime::Result<Result<Result<Outcome, Fault>, WitFailure>> {
        let process = self.process.typed::<(&[u8],), (Result<Vec<u8>, WitFailure>,)>(&*store)?;
        let (answer,) = process.call(store, (batch.bytes(),))?;
        Ok(answer.map(|bytes| {
            read_outcome(&Bytes::from(bytes), batch.len()).map_err(|text| Fault::BadOutput { text })
        }))
    }

    fn process_typed(
        &self,
        store: &mut Store<State>,
        batch: &Batch,
    ) -> wasmtime::Result<Result<Result<Outcome, Fault>, WitFailure>> {
        let process =
            self.process.typed::<(&[WitMessageIn<'_>],), (Result<WitOutcome, WitFailure>,)>(&*store)?;
        let messages: Vec<WitMessageIn<'_>> = batch
            .records()
            .map(|record| WitMessageIn {
                key: record.key,
                value: record.value,
                headers: record.headers.iter().map(|h| WitHeaderIn { key: h.name, value: h.value }).collect(),
                timestamp_ms: record.timestamp_ms,
                partition: record.partition,
                offset: record.offset,
            })
            .collect();
        let (answer,) = process.call(store, (&messages,))?;
        Ok(answer.map(|outcome| outcome.read(batch.len()).map_err(|text| Fault::BadOutput { text })))
    }
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
struct WitHeaderIn<'a> {
    key: &'a str,
    value: Option<&'a [u8]>,
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
struct WitMessageIn<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<WitHeaderIn<'a>>,
    #[component(name = "timestamp-ms")]
    timestamp_ms: i64,
    partition: i32,
    offset: i64,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
struct WitHeader {
    key: String,
    value: Option<Vec<u8>>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
struct WitMessage {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<WitHeader>,
    #[component(name = "timestamp-ms")]
    timestamp_ms: i64,
    partition: i32,
    #[allow(dead_code, reason = "part of the type, and of no meaning in an emitted message")]
    offset: i64,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
struct WitEmit {
    input: u32,
    output: Option<String>,
    message: WitMessage,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
struct WitBad {
    input: u32,
    why: WitFailure,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
struct WitOutcome {
    emits: Vec<WitEmit>,
    failed: Vec<WitBad>,
}

impl WitOutcome {
    fn read(self, inputs: usize) -> Result<Outcome, String> {
        let mut outcome = Outcome::default();
        for WitEmit { input, output, message } in self.emits {
            let partition = match message.partition {
                -1 => None,
                0.. => Some(message.partition),
                other => return Err(format!("a partition of {other}")),
            };
            outcome.emits.push(Emit {
                input,
                output,
                key: message.key.map(Bytes::from),
                value: message.value.map(Bytes::from),
                headers: message.headers.into_iter().map(|h| (h.key, h.value.map(Bytes::from))).collect(),
                timestamp_ms: message.timestamp_ms,
                partition,
            });
        }
        outcome.failed =
            self.failed.iter().map(|b| Failed::refused(b.input, &b.why.code, &b.why.reason)).collect();
        outcome.check(inputs)?;
        Ok(outcome)
    }
}
