//! The host from the outside: the real invoice check over a corpus, hostile guests written as WAT, the three doors,
//! and the cache of compiled code.

mod check_invoice;
mod doors;
mod guests;
mod hostile;
mod real_invoices;
mod reorder_quantity;
mod support;
