//! `pg_service.conf`: named sets of parameters. Owns which files are looked at, and their format.

use std::io;
use std::path::PathBuf;

use super::postgres::Parameters;
use super::{Malformed, keywords};
use crate::config::env::Env;

/// Where Debian and its like keep the system's file; libpq's own default is fixed when it is built.
const SYSTEM_DIRECTORY: &str = "/etc/postgresql-common";

/// The parameters of `service`: from `$PGSERVICEFILE` or `~/.pg_service.conf`, else from the system's file.
pub(super) fn find(service: &str, around: &Env<'_>) -> Result<Parameters, Malformed> {
    let own = around
        .text("PGSERVICEFILE")
        .map_or_else(|| around.home().join(".pg_service.conf"), |file| around.cwd.join(file));
    let system = around.text("PGSYSCONFDIR").map_or_else(|| PathBuf::from(SYSTEM_DIRECTORY), PathBuf::from);
    let files = [own, system.join("pg_service.conf")];
    for file in &files {
        match (around.read)(file) {
            Ok(content) => {
                if let Some(parameters) = section(&content, service).map_err(|mut malformed| {
                    malformed.cause = format!("{}: {}", file.display(), malformed.cause);
                    malformed
                })? {
                    return Ok(parameters);
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => {
                let cause = format!("cannot read {}: {error}", file.display());
                return Err(Malformed::new(cause, "make the service file readable"));
            }
        }
    }
    let looked_at = files.map(|file| file.display().to_string()).join(" and ");
    Err(Malformed::new(
        format!("there is no service \"{service}\""),
        format!("define [{service}] in one of {looked_at}"),
    ))
}

/// The parameters of the section `service`; `None` where there is no such section.
fn section(content: &str, service: &str) -> Result<Option<Parameters>, Malformed> {
    let mut found: Option<Parameters> = None;
    for (index, line) in content.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            if header.strip_suffix(']') == Some(service) {
                found = Some(Parameters::default());
            }
            continue;
        }
        let Some(parameters) = &mut found else { continue };
        let at = index + 1;
        let Some((name, value)) = line.split_once('=') else {
            return Err(Malformed::new(format!("line {at} has no ="), format!("correct line {at}: name=value")));
        };
        if name == "service" {
            return Err(Malformed::new(format!("line {at} names another service"), "services do not nest"));
        }
        if let Some(keyword) = keywords::find(name, at, false)? {
            parameters.set_if_unset(keyword, value.to_owned());
        }
    }
    Ok(found)
}
