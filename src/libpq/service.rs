//! `pg_service.conf`: named sets of parameters. Owns the format and the search. Pure.

use std::io::ErrorKind;

use super::env::Env;
use super::error::{InvalidValue, refuse};
use super::parameters::Parameters;
use super::{defaults, keywords};

/// The parameters of `service` in the first service file that defines it.
pub(super) fn find(service: &str, env: &Env<'_>) -> Result<Parameters, InvalidValue> {
    let files = defaults::service_files(env);
    for file in &files {
        let content = match (env.read)(file) {
            Ok(content) => content,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => {
                return refuse(format!("cannot read {}: {error}", file.display()), "make the service file readable");
            }
        };
        let in_file = |error| InvalidValue { cause: format!("{}: {error}", file.display()), ..error };
        if let Some(parameters) = section(&content, service).map_err(in_file)? {
            return Ok(parameters);
        }
    }
    let searched: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let hint = format!("define [{service}] in one of {}", searched.join(" and "));
    refuse(format!("there is no service \"{service}\""), hint)
}

/// The parameters of the first section `service`; `None` if there is none. The first value of a parameter counts.
fn section(content: &str, service: &str) -> Result<Option<Parameters>, InvalidValue> {
    let lines = content.lines().map(str::trim).enumerate().map(|(index, line)| (index + 1, line));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    if !lines.any(|(_, line)| line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) == Some(service)) {
        return Ok(None);
    }
    let mut parameters = Parameters::default();
    for (number, line) in lines.take_while(|(_, line)| !line.starts_with('[')) {
        let Some((name, value)) = line.split_once('=') else {
            return refuse(format!("line {number} has no ="), format!("correct line {number}: name=value"));
        };
        if name == "service" {
            return refuse(format!("line {number} names another service"), "leave this line out: services do not nest");
        }
        if let Some(keyword) = keywords::find(name, number, false)?.filter(|keyword| parameters.get(keyword).is_none())
        {
            parameters.set(keyword, value.to_owned());
        }
    }
    Ok(Some(parameters))
}
