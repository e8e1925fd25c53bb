//! The database of a process that delivers journals: which journals are meant for it, and whether its connection protects them as
//! their runs demand. Pure.

use std::ffi::OsStr;

use crate::config::{DatabaseTarget, SslMode};
use crate::journal::{Begin, may_be_for, tag};

/// The database that journals are delivered to.
#[derive(Clone, Debug, Default)]
pub struct Destination {
    /// The address, which every journal has.
    pub identity: String,
    /// The address with user and settings, which newer journals have.
    place: String,
    protection: Option<SslMode>,
    /// Journals that are meant for this place are delivered here too.
    from: Option<String>,
}

impl Destination {
    pub fn of(target: &DatabaseTarget) -> Self {
        Self { identity: target.identity(), place: target.place(), protection: target.protection(), from: None }
    }

    /// The same, also for the journals of the database `from`, as `recover` names it.
    #[must_use]
    pub fn and_from(self, from: Option<&str>) -> Self {
        Self { from: from.map(str::to_owned), ..self }
    }

    /// The place that one lingering keeper serves.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether a run directory may hold a journal for this database, by its name.
    pub fn may_be_named(&self, name: &OsStr) -> bool {
        self.from.is_some() || may_be_for(name, &tag(&self.identity))
    }

    /// Whether the journal is meant for this database.
    pub fn is_meant(&self, begin: &Begin) -> bool {
        let own = begin.place.as_ref().map_or(begin.database == self.identity, |place| *place == self.place);
        own || self.from.as_deref() == Some(begin.meant_for())
    }

    /// The protection that the journal demands and this connection lacks.
    pub fn lacks(&self, begin: &Begin) -> Option<SslMode> {
        begin.sslmode.filter(|demanded| self.protection.is_none_or(|protection| protection < *demanded))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn begin(place: Option<&str>, sslmode: Option<&str>) -> Begin {
        serde_json::from_value(json!({
            "format": 1, "database": "postgres://h:5432/db", "place": place, "sslmode": sslmode, "table": "t",
            "metrics_file": null, "metrics_file_before": null, "begun_boot_us": 0,
            "run": {
                "run_id": uuid::Uuid::nil(), "name": "n", "version": null, "adopt": null, "set": [], "command": [],
                "begun_at": "2026-11-29T18:00:00Z", "cwd": "/", "host": "h", "username": "u", "context": {},
                "model_path": null, "lease_seconds": 300,
            },
        }))
        .unwrap()
    }

    fn destination(user: &str, protection: Option<SslMode>) -> Destination {
        let identity = "postgres://h:5432/db".to_owned();
        Destination { identity, place: format!("postgres://{user}@h:5432/db"), protection, from: None }
    }

    #[test]
    fn journal_is_meant_for_its_place_or_an_old_one_for_its_address() {
        let of_ann = begin(Some("postgres://ann@h:5432/db"), None);
        let old = begin(None, None);
        for (user, meant) in [("ann", true), ("bob", false)] {
            assert_eq!(destination(user, None).is_meant(&of_ann), meant);
            assert!(destination(user, None).is_meant(&old));
        }
        let other = Destination { identity: "sqlite:/x".into(), place: "sqlite:/x".into(), ..Destination::default() };
        assert!(!other.is_meant(&of_ann) && !other.is_meant(&old));
        let [from_ann, from_old] =
            ["postgres://ann@h:5432/db", "postgres://h:5432/db"].map(|from| other.clone().and_from(Some(from)));
        assert!(from_ann.is_meant(&of_ann) && !from_ann.is_meant(&old));
        assert!(from_old.is_meant(&old) && !from_old.is_meant(&of_ann));
    }

    #[test]
    fn weaker_connection_lacks_the_demanded_protection() {
        for (demanded, protection, lacks) in [
            (None, None, false),
            (Some("require"), None, true),
            (Some("require"), Some(SslMode::Require), false),
            (Some("verify-full"), Some(SslMode::VerifyCa), true),
            (Some("verify-ca"), Some(SslMode::VerifyFull), false),
        ] {
            assert_eq!(destination("ann", protection).lacks(&begin(None, demanded)).is_some(), lacks, "{demanded:?}");
        }
    }
}
