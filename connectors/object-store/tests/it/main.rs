//! Stores for real: the conformance suite over a folder, over `object_store`'s memory, over an S3 server where there is
//! one; lost answers, races, limits.

mod faults;
mod files;
mod race;
mod s3;
mod suite;
