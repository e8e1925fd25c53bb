//! The conformance suite: each case runs against both databases. `postgres` and `sqlite` test features that only one of them
//! has. Must not start runwrap itself.

mod adoption;
mod attack;
mod beginning;
mod circumstances;
mod deciding;
mod foreign;
mod long_values;
mod merging;
mod migrating;
mod model;
mod owning;
mod place;
mod postgres;
mod reading;
mod replacing;
mod series;
mod sqlite;
mod unfit;

/// Makes two tests of each case, one per store.
macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod in_sqlite {
            $(#[test] fn $case() { super::$case(&$crate::store::place::Place::sqlite()); })*
        }
        mod in_postgres {
            $(#[test] fn $case() { super::$case(&$crate::store::place::Place::postgres()); })*
        }
    };
}
pub(crate) use conformance;
