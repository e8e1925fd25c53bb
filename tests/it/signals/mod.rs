//! Signals arrive exactly as often as without runwrap: one probe counts them, bare and under runwrap.

mod counting;
mod inheriting;
mod namespace;
mod preloaded;
mod probe;
mod relaying;
mod stopping;
mod terminal;
mod turns;
mod witness;
