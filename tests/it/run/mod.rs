//! Whole runs of the real binary: what the user sees, what the database says, what is left behind.

mod beating;
mod circumstances;
mod curves;
mod ending;
mod failing;
mod faults;
mod forking;
mod guard;
mod healing;
mod keeping;
mod kernels;
mod leaving;
mod limits;
mod lingering;
mod mirroring;
mod moving;
mod nodes;
mod out_of_memory;
mod places;
mod recovering;
mod reporting;
mod serving;
mod stalling;
mod taking_over;
mod unlocked;
