//! Write a Millstream function: a record in, messages or a failure out. This crate hides the packed layout and the
//! component's ABI (`sdk/functions/README.md` has both). It has no dependencies, so a function is as small as what
//! it does. Never enters: anything that asks for a clock, a file or a random number; a replay must give what the
//! first run gave.
//!
//! The short form is a function of one record and [`export_fn!`]; the long form is the trait [`Function`] and
//! [`export!`], for functions that keep a cache or write their output without a copy.
//!
//! ```
//! use millstream_function::{Context, Emit, Failure, Message, NewMessage};
//!
//! fn shout(message: &Message, _context: &mut Context) -> Result<Emit, Failure> {
//!     let value = message.value.ok_or_else(|| Failure::new("empty", "the record has no value"))?;
//!     Ok(Emit::one(NewMessage { value: Some(value.to_ascii_uppercase()), ..NewMessage::same(message) }))
//! }
//! millstream_function::export_fn!(shout);
//!
//! # fn main() {
//! let mut bench = millstream_function::testing::Bench::<ExportedFunction>::new(&[], &[]).unwrap();
//! assert_eq!(bench.process(b"tea").unwrap(), [(None, Some(b"TEA".to_vec()))]);
//! # }
//! ```

#[doc(hidden)]
pub mod abi;
mod batch;
mod context;
mod host;
mod output;
pub mod testing;

pub use batch::{Header, Headers, Message};
pub use context::{Context, Level};
pub use output::{Emit, NewMessage, Output};

use std::borrow::Cow;

/// Why a record is refused. It goes to the dead letters with this, and the batch goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A short code, to count and filter by: `bad_total`.
    pub code: Cow<'static, str>,
    /// A sentence for the person who reads the dead letters. At most 1 KiB of it is kept.
    pub reason: Cow<'static, str>,
}

impl Failure {
    /// A failure of this code and reason.
    pub fn new(code: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Failure {
        Failure { code: code.into(), reason: reason.into() }
    }
}

/// The long form of a function.
pub trait Function: Sized {
    /// Called once for each instance, before its first record. An error refuses the function when it is loaded.
    fn init(context: &mut Context) -> Result<Self, Failure>;

    /// Called for each record. What was written to `output` before an error is taken back.
    fn process(
        &mut self,
        message: &Message<'_>,
        context: &mut Context,
        output: &mut Output,
    ) -> Result<(), Failure>;
}

/// The short form wrapped as the long one; what [`export_fn!`] expands to uses it.
#[doc(hidden)]
pub fn process_one(
    function: fn(&Message<'_>, &mut Context) -> Result<Emit, Failure>,
    message: &Message<'_>,
    context: &mut Context,
    output: &mut Output,
) -> Result<(), Failure> {
    for new in function(message, context)?.into_messages() {
        output.emit(&new);
    }
    Ok(())
}

/// Makes a `fn(&Message, &mut Context) -> Result<Emit, Failure>` the component's function.
#[macro_export]
macro_rules! export_fn {
    ($function:path) => {
        struct ExportedFunction;
        impl $crate::Function for ExportedFunction {
            fn init(_: &mut $crate::Context) -> Result<Self, $crate::Failure> {
                Ok(ExportedFunction)
            }
            fn process(
                &mut self,
                message: &$crate::Message<'_>,
                context: &mut $crate::Context,
                output: &mut $crate::Output,
            ) -> Result<(), $crate::Failure> {
                $crate::process_one($function, message, context, output)
            }
        }
        $crate::export!(ExportedFunction);
    };
}

/// Makes a type that implements [`Function`] the component's function.
#[macro_export]
macro_rules! export {
    ($function:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static GUEST: $crate::abi::Guest<$function> = const { $crate::abi::Guest::new() };
            }
            #[unsafe(export_name = "init")]
            extern "C" fn init() -> *const $crate::abi::Return {
                GUEST.with(|guest| guest.init())
            }
            // SAFETY: the host passes a block that it got from `cabi_realloc` just before, of this length, and
            // gives it up with the call: the canonical ABI's contract for a list parameter.
            #[unsafe(export_name = "process")]
            unsafe extern "C" fn process(batch: *mut u8, length: usize) -> *const $crate::abi::Return {
                let batch = unsafe { $crate::abi::owned(batch, length) };
                GUEST.with(|guest| guest.process(batch))
            }
        };
    };
}
