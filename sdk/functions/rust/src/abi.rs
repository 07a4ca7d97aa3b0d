//! The component's exports, by the canonical ABI: what [`crate::export!`] expands to. The only file with allocation
//! by hand.

use crate::batch::Records;
use crate::{Context, Failure, Function, Output};
use std::alloc::Layout;
use std::cell::{RefCell, UnsafeCell};

/// The custom section that says which world this module implements; `wasm-tools component new` reads it. Made by
/// `wasm-tools component embed --world packed sdk/functions/wit --only-custom`.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "component-type:millstream-function:packed")]
static WORLD: [u8; include_bytes!("packed.world").len()] = *include_bytes!("packed.world");

/// `result<list<u8>, failure>` and `result<_, failure>` in memory.
#[repr(C)]
pub struct Return {
    failed: u8,
    first: *const u8,
    first_length: usize,
    second: *const u8,
    second_length: usize,
}

/// A function, its context and its buffers: an instance's whole state.
pub struct Guest<F> {
    state: RefCell<State<F>>,
    answer: UnsafeCell<Return>,
}

struct State<F> {
    function: Option<F>,
    context: Context,
    output: Output,
    failure: Option<Failure>,
}

impl<F> Guest<F> {
    /// Before `init`.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Guest<F> {
        Guest {
            state: RefCell::new(State {
                function: None,
                context: Context::new(),
                output: Output::new(),
                failure: None,
            }),
            answer: UnsafeCell::new(Return {
                failed: 0,
                first: std::ptr::null(),
                first_length: 0,
                second: std::ptr::null(),
                second_length: 0,
            }),
        }
    }

    fn answer(&self, failed: u8, first: &[u8], second: &[u8]) -> *const Return {
        let answer = Return {
            failed,
            first: first.as_ptr(),
            first_length: first.len(),
            second: second.as_ptr(),
            second_length: second.len(),
        };
        // SAFETY: the host reads the answer before it calls again, and no reference to the cell is ever made.
        unsafe { self.answer.get().write(answer) };
        self.answer.get()
    }
}

impl<F: Function> Guest<F> {
    /// The export `init`.
    pub fn init(&self) -> *const Return {
        // A panic traps without a word; the host shows what was logged last beside the trap.
        #[cfg(target_arch = "wasm32")]
        std::panic::set_hook(Box::new(|panic| crate::host::log(crate::Level::Error, &panic.to_string())));
        let State { function, context, failure, .. } = &mut *self.state.borrow_mut();
        match F::init(context) {
            Ok(made) => {
                *function = Some(made);
                self.answer(0, &[], &[])
            }
            Err(why) => {
                let kept = failure.insert(why);
                self.answer(1, kept.code.as_bytes(), kept.reason.as_bytes())
            }
        }
    }

    /// The export `process`. The answer's bytes live in the instance's own buffer until the next call; there is no
    /// `cabi_post_process`, for nothing is to be freed.
    pub fn process(&self, batch: Vec<u8>) -> *const Return {
        let State { function, context, output, .. } = &mut *self.state.borrow_mut();
        let function = function.as_mut().expect("init comes before process");
        run(function, context, output, &batch);
        self.answer(0, output.finish(), &[])
    }
}

pub(crate) fn run<F: Function>(function: &mut F, context: &mut Context, output: &mut Output, batch: &[u8]) {
    context.start_batch();
    output.start(batch.len());
    for (input, message) in Records::new(batch).enumerate() {
        let mark = output.start_record(input as u32);
        if let Err(failure) = function.process(&message, context, output) {
            output.fail(mark, &failure);
        }
    }
}

/// A block that the host asked for through `cabi_realloc`, as a vector.
///
/// # Safety
/// The block is from `cabi_realloc` with alignment 1 and exactly this length, and nobody else frees it.
#[doc(hidden)]
pub unsafe fn owned(bytes: *mut u8, length: usize) -> Vec<u8> {
    if length == 0 {
        return Vec::new();
    }
    unsafe { Vec::from_raw_parts(bytes, length, length) }
}

/// Where the host puts what it passes.
///
/// # Safety
/// The canonical ABI's contract: `old` is null, or a block from here with this length and alignment.
#[cfg_attr(target_arch = "wasm32", unsafe(export_name = "cabi_realloc"))]
pub unsafe extern "C" fn realloc(old: *mut u8, old_length: usize, align: usize, length: usize) -> *mut u8 {
    if length == 0 {
        return std::ptr::without_provenance_mut(align);
    }
    let block = unsafe {
        if old_length == 0 {
            std::alloc::alloc(Layout::from_size_align_unchecked(length, align))
        } else {
            std::alloc::realloc(old, Layout::from_size_align_unchecked(old_length, align), length)
        }
    };
    if block.is_null() {
        // The host tells a refused growth of the memory from a panic by its own record of refusals.
        std::process::abort();
    }
    block
}
