//! Functions of the pipeline in its queries: a batch of arguments becomes messages, each a JSON list, and what the function
//! emits becomes a column, each value JSON too. A row for which it gives no one value of its type fails as any row that cannot be
//! computed. Never enters: where functions run; what is called while a query is planned, which is nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use datafusion_common::{DataFusionError, Result, plan_err};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use millstream_format::json::{self, JsonRows, JsonValues};
use millstream_model::{Emit, FunctionError, Message, Outcome, UserFunction};

/// The most rows of one call; how a batch is cut changes no verdict.
const CALL_ROWS: usize = 1_024;
/// And about the most bytes of arguments.
const CALL_BYTES: usize = 1 << 20;
/// The most bytes that the values of a batch are made of: columns count theirs by 32 bits.
const VALUES_BYTES: usize = 1 << 30;
/// What is shown of a value that does not fit, in bytes.
const SHOWN_BYTES: usize = 80;

/// Makes the instance that a stage calls.
pub type MakeFunction = Arc<dyn Fn() -> Box<dyn UserFunction> + Send + Sync>;

/// A function that queries may call.
#[derive(Clone)]
pub struct ScalarFunction {
    /// The types of its arguments.
    pub arguments: Vec<DataType>,
    /// The type of what it gives.
    pub returns: DataType,
    /// Makes an instance; nothing where a stage is looked at and never run.
    pub make: Option<MakeFunction>,
}

impl fmt::Debug for ScalarFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScalarFunction")
            .field("arguments", &self.arguments)
            .field("returns", &self.returns)
            .finish_non_exhaustive()
    }
}

/// The functions of a stage, by name. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Functions(BTreeMap<String, Arc<Called>>);

/// A function, and its instance once the stage runs.
struct Called {
    name: String,
    signature: Signature,
    arguments: SchemaRef,
    returns: DataType,
    make: Option<MakeFunction>,
    instance: OnceLock<Mutex<Instance>>,
}

struct Instance {
    function: Box<dyn UserFunction>,
    values: JsonValues,
}

impl Functions {
    /// Those of a stage. The error names the first whose types cannot be handed over.
    pub(crate) fn new(functions: &BTreeMap<String, ScalarFunction>) -> Result<Functions, String> {
        let called = |(name, function): (&String, &ScalarFunction)| {
            let field =
                |(at, kind): (usize, &DataType)| Field::new(format!("{}", at + 1), kind.clone(), true);
            let arguments: Vec<Field> = function.arguments.iter().enumerate().map(field).collect();
            let arguments = Arc::new(Schema::new(arguments));
            let of = |text: String| format!("function {name}: {text}");
            json::check(&arguments).map_err(of)?;
            JsonValues::new(&function.returns).map_err(|error| of(error.to_string()))?;
            let called = Called {
                name: name.clone(),
                // It gives the same for the same arguments, and is not called before the stage runs.
                signature: Signature::new(TypeSignature::UserDefined, Volatility::Immutable),
                arguments,
                returns: function.returns.clone(),
                make: function.make.clone(),
                instance: OnceLock::new(),
            };
            Ok((name.clone(), Arc::new(called)))
        };
        functions.iter().map(called).collect::<Result<_, String>>().map(Functions)
    }

    /// From here on they are called.
    pub(crate) fn open(&self) {
        for called in self.0.values() {
            let (Some(make), Ok(values)) = (&called.make, JsonValues::new(&called.returns)) else { continue };
            // Whoever opens them twice goes on with the first.
            let _ = called.instance.set(Mutex::new(Instance { function: make(), values }));
        }
    }

    /// As the planner takes them.
    pub(super) fn planned(&self) -> impl Iterator<Item = (String, Arc<ScalarUDF>)> + '_ {
        let planned = |called: &Arc<Called>| Arc::new(ScalarUDF::new_from_impl(Planned(Arc::clone(called))));
        self.0.iter().map(move |(name, called)| (name.clone(), planned(called)))
    }

    /// What the function of a name takes, for people.
    pub(super) fn takes(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|called| format!("{name} takes ({})", called.kinds()))
    }
}

impl fmt::Debug for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}) -> {}", self.name, self.kinds(), self.returns)
    }
}

/// As it comes through DataFusion.
fn outside(error: FunctionError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// What became of a row.
#[derive(Clone)]
enum Given {
    Nothing,
    Value(Option<Bytes>),
    Refused(String),
}

impl Called {
    fn kinds(&self) -> String {
        let kinds = self.arguments.fields().iter().map(|field| field.data_type().to_string());
        kinds.collect::<Vec<_>>().join(", ")
    }

    /// The values of all rows of a batch, whose columns are the arguments.
    fn call(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let Some(instance) = self.instance.get() else {
            let reason =
                "it is called where the pipeline runs, and not where what it keeps is read".to_owned();
            return Err(outside(FunctionError::Broken { function: self.name.clone(), reason }));
        };
        // A call that panicked has left values behind at most, which the next one throws away.
        let mut instance = instance.lock().unwrap_or_else(PoisonError::into_inner);
        drop(instance.values.finish());
        let rows = JsonRows::new(batch);
        let (mut at, mut messages, mut bytes) = (0, Vec::new(), 0);
        while at < batch.num_rows() {
            let (mut text, mut starts) = (Vec::new(), Vec::new());
            while at < batch.num_rows() && starts.len() < CALL_ROWS && text.len() < CALL_BYTES {
                starts.push(text.len());
                rows.write_values(at, &mut text);
                at += 1;
            }
            let (text, ends) = (Bytes::from(text), starts.iter().skip(1).copied());
            let ends = ends.chain([text.len()]);
            messages.clear();
            messages.extend(starts.iter().zip(ends).enumerate().map(|(row, (start, end))| Message {
                value: Some(text.slice(*start..end)),
                offset: row as i64,
                ..Message::default()
            }));
            bytes += self.call_some(&mut instance, &messages)?;
            if bytes > VALUES_BYTES {
                // Its parts are computed one by one then.
                let text =
                    format!("function {}: it gave more than {VALUES_BYTES} bytes for a batch", self.name);
                return Err(DataFusionError::Execution(text));
            }
        }
        Ok(instance.values.finish())
    }

    /// One call: its values are appended. How many bytes of text they were.
    fn call_some(&self, instance: &mut Instance, messages: &[Message]) -> Result<usize> {
        let mut bytes = 0;
        let outcome = instance.function.process(messages).map_err(outside)?;
        let given = self.given(outcome, messages.len()).map_err(outside)?;
        for given in given {
            let refused = match given {
                Given::Value(value) => match instance.values.push(value.as_deref()) {
                    Ok(()) => {
                        bytes += value.map_or(0, |value| value.len());
                        continue;
                    }
                    Err(error) => {
                        let value = value.as_deref().unwrap_or_default();
                        let shown = String::from_utf8_lossy(&value[..value.len().min(SHOWN_BYTES)]);
                        format!("it gave {shown}, and its type is {}: {error}", self.returns)
                    }
                },
                Given::Nothing => {
                    "it gave no value; it is to emit one message for each row, without a value for NULL"
                        .to_owned()
                }
                Given::Refused(why) => why,
            };
            return Err(DataFusionError::Execution(format!("function {}: {refused}", self.name)));
        }
        Ok(bytes)
    }

    /// What became of each row of a call.
    fn given(&self, outcome: Outcome, rows: usize) -> Result<Vec<Given>, FunctionError> {
        let mut given = vec![Given::Nothing; rows];
        let foreign = || FunctionError::Broken {
            function: self.name.clone(),
            reason: format!("it answered for a row that is none of the {rows} of the call"),
        };
        for Emit { output, message } in outcome.emits {
            let row = usize::try_from(message.offset).ok().and_then(|row| given.get_mut(row));
            let row = row.ok_or_else(foreign)?;
            *row = match (&row, output) {
                (_, Some(name)) => Given::Refused(format!(
                    "it gave a value to the output {name:?}; in SQL it has none but one"
                )),
                (Given::Nothing, None) => Given::Value(message.value),
                (_, None) => Given::Refused("it gave several values for one row".to_owned()),
            };
        }
        for bad in outcome.failed {
            let row = given.get_mut(bad.index as usize).ok_or_else(foreign)?;
            *row = Given::Refused(format!("{}: {}", bad.why.code, bad.why.reason));
        }
        Ok(given)
    }
}

/// A function as DataFusion sees it.
#[derive(Debug)]
struct Planned(Arc<Called>);

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Planned {}

impl Hash for Planned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl ScalarUDFImpl for Planned {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn signature(&self) -> &Signature {
        &self.0.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.0.returns.clone())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let wanted = self.0.arguments.fields().iter().map(|field| field.data_type());
        if given.len() != wanted.len() || !wanted.clone().zip(given).all(|(to, from)| becomes(from, to)) {
            return plan_err!("{} takes ({})", self.0.name, self.0.kinds());
        }
        Ok(wanted.cloned().collect())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Of constants one row is enough, which DataFusion takes for all.
        let constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { args.number_rows.min(1) } else { args.number_rows };
        let column = |(value, field): (ColumnarValue, &Arc<Field>)| {
            let column = value.into_array(rows)?;
            Ok(if column.data_type() == field.data_type() {
                column
            } else {
                cast(&column, field.data_type())?
            })
        };
        let columns = args.args.into_iter().zip(self.0.arguments.fields()).map(column);
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.0.arguments), columns, &options)?;
        self.0.call(&batch).map(ColumnarValue::Array)
    }
}

/// Whether a value of one type is one of another without a CAST: nothing of it is lost, or the row fails.
fn becomes(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Null, _) => true,
        (from, to) if is_same(from, to) => true,
        (from, DataType::Int64 | DataType::Int32) if from.is_integer() => {
            from.primitive_width() <= to.primitive_width()
        }
        (from, DataType::Decimal128(..)) if from.is_integer() => true,
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => from <= to,
        (from, DataType::Float64) => from.is_numeric(),
        (DataType::LargeUtf8 | DataType::Utf8View, DataType::Utf8) => true,
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) => finer(from) <= finer(to),
        _ => false,
    }
}

/// Whether two types are the same but for what may be null: of structs the names too, since values go by them.
fn is_same(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::Struct(one), DataType::Struct(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len()
                && pairs.all(|(a, b)| a.name() == b.name() && is_same(a.data_type(), b.data_type()))
        }
        (DataType::List(one), DataType::List(other)) => is_same(one.data_type(), other.data_type()),
        (one, other) => one.equals_datatype(other),
    }
}

/// How fine a unit of time is.
fn finer(unit: &TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}
