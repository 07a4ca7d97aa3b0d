//! The judge judged: histories written by hand, good ones and one for each anomaly; random good histories, in which it must
//! find nothing; the same with one fault put in, which it must find.

mod by_hand;
mod random;
