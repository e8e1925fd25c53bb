//! Features of PostgreSQL alone: connections of every kind, rights, schemas, types, a pooler, a server that hangs.

mod certificates;
mod client_certificates;
mod connecting;
mod hanging;
mod hints;
mod manual;
mod promoting;
mod racing;
mod refusals;
mod remembering;
mod rights;
mod round_trips;
mod scale;
mod types;
