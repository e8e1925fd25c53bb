//! Every signal exactly as often as without runwrap: one probe, bare and under runwrap, counts what arrives.

mod counting;
mod inheriting;
mod namespace;
mod probe;
mod relaying;
mod stopping;
mod terminal;
mod witness;
