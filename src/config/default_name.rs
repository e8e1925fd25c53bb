//! What a run trains, as its command tells: the name of the script or program. Pure. Called by `commands::run`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Programs whose first operand is the real command, with the options that take a value of their own.
const PREFIXES: [(&str, &[&str]); 13] = [
    ("env", &["-u", "-C", "-S", "--unset", "--chdir"]),
    ("nice", &["-n", "--adjustment"]),
    ("ionice", &["-c", "-n", "--class", "--classdata"]),
    ("nohup", &[]),
    ("time", &["-f", "-o", "--format", "--output"]),
    ("timeout", &["-k", "-s", "--kill-after", "--signal"]),
    ("setsid", &[]),
    ("stdbuf", &["-i", "-o", "-e", "--input", "--output", "--error"]),
    ("taskset", &[]),
    ("numactl", &["-N", "-m", "-C", "-p", "-i"]),
    ("srun", &["-n", "-N", "-c", "-p", "-t", "-J", "-G", "--ntasks", "--nodes", "--partition", "--time", "--gres"]),
    ("sudo", &["-u", "-g", "--user", "--group"]),
    ("xvfb-run", &["-s", "-n", "--server-args"]),
];

/// Programs that run a script, with the options that take a value of their own.
const INTERPRETERS: [(&str, &[&str]); 12] = [
    ("python", &["-X", "-W", "--check-hash-based-pycs"]),
    ("pypy", &["-X", "-W"]),
    ("bash", &["-o", "-O", "--rcfile", "--init-file"]),
    ("sh", &["-o"]),
    ("dash", &["-o"]),
    ("zsh", &["-o"]),
    ("Rscript", &["-e"]),
    ("julia", &["-t", "-J", "-p", "-L"]),
    ("node", &["-r", "--require"]),
    ("perl", &["-I"]),
    ("ruby", &["-I", "-r"]),
    ("torchrun", LAUNCHER_OPTIONS),
];

/// Of `torchrun`, `accelerate launch` and `deepspeed`; each also with `-` for `_`.
const LAUNCHER_OPTIONS: &[&str] = &[
    "--nproc_per_node",
    "--nnodes",
    "--node_rank",
    "--rdzv_backend",
    "--rdzv_endpoint",
    "--rdzv_id",
    "--rdzv_conf",
    "--max_restarts",
    "--monitor_interval",
    "--start_method",
    "--role",
    "--log_dir",
    "--redirects",
    "--tee",
    "--master_addr",
    "--master_port",
    "--local_addr",
    "--num_processes",
    "--num_machines",
    "--machine_rank",
    "--main_process_ip",
    "--main_process_port",
    "--mixed_precision",
    "--config_file",
    "--gpu_ids",
    "--num_gpus",
    "--num_nodes",
    "--include",
    "--exclude",
    "--hostfile",
];

/// Launchers that take a verb before the script: `accelerate launch train.py`.
const WITH_VERB: [(&str, &str); 5] =
    [("accelerate", "launch"), ("uv", "run"), ("poetry", "run"), ("pipenv", "run"), ("conda", "run")];

/// The name of what `command` runs: `train` for `python -u train.py`, `./train` and `torchrun train.py`,
/// `pkg.mod` for `python -m pkg.mod`. Never empty unless the command is.
#[must_use]
pub fn default_name(command: &[OsString]) -> String {
    let words: Vec<String> = command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut rest: &[String] = &words;
    // Each round takes at least one word away.
    while let Some((program, arguments)) = rest.split_first() {
        let name = base_name(program);
        let next = if let Some((_, valued)) = PREFIXES.iter().find(|(prefix, _)| *prefix == name) {
            after_prefix(&name, valued, arguments)
        } else if let Some((_, verb)) = WITH_VERB.iter().find(|(launcher, _)| *launcher == name) {
            match arguments.split_first() {
                Some((first, others)) if first == verb => match operand(others, LAUNCHER_OPTIONS) {
                    Operand::At(index) => others.get(index..),
                    Operand::Module(module) => return module,
                    Operand::None => None,
                },
                Some(_) | None => None,
            }
        } else {
            return script_of(&name, arguments);
        };
        match next {
            Some(words) if !words.is_empty() => rest = words,
            Some(_) | None => return stem(program),
        }
        // A launcher's operand is a script, where it is not a program with arguments of its own.
        if rest.first().is_some_and(|word| is_script(word)) {
            break;
        }
    }
    rest.first().map(|word| stem(word)).unwrap_or_default()
}

/// The command after `env A=1`, `nice -n 5`, `timeout 10s`.
fn after_prefix<'a>(prefix: &str, valued: &[&str], arguments: &'a [String]) -> Option<&'a [String]> {
    let Operand::At(mut index) = operand(arguments, valued) else { return None };
    if prefix == "env" {
        index += arguments.iter().skip(index).take_while(|word| word.contains('=')).count();
    }
    // Their first operand is a duration or a mask, the command comes second.
    if matches!(prefix, "timeout" | "taskset") {
        index += 1;
    }
    arguments.get(index..)
}

/// The script that `program` runs, or the program itself.
fn script_of(program: &str, arguments: &[String]) -> String {
    // python3, python3.12, pypy3
    let family = program.trim_end_matches(|last: char| last.is_ascii_digit() || last == '.');
    let launcher = matches!(program, "deepspeed").then_some(LAUNCHER_OPTIONS);
    let interpreter = INTERPRETERS.iter().find(|(name, _)| *name == family).map(|(_, valued)| *valued);
    let Some(valued) = interpreter.or(launcher) else { return stem(program) };
    match operand(arguments, valued) {
        // The launchers that are modules run a script in their turn.
        Operand::Module(module) if matches!(module.as_str(), "torch.distributed.run" | "torch.distributed.launch") => {
            let after = arguments.iter().position(|word| *word == module).map_or(0, |index| index + 1);
            script_of("torchrun", arguments.get(after..).unwrap_or(&[]))
        }
        Operand::Module(module) => module,
        Operand::At(index) => arguments.get(index).map_or_else(|| stem(program), |script| stem(script)),
        Operand::None => stem(program),
    }
}

enum Operand {
    /// The index of the first word that is no option and no option's value.
    At(usize),
    /// `-m MODULE`.
    Module(String),
    /// There is none: `python -c CODE`, `python -`.
    None,
}

fn operand(arguments: &[String], valued: &[&str]) -> Operand {
    let takes_value = |word: &str| {
        let with_underscores = format!("--{}", word.trim_start_matches('-').replace('-', "_"));
        valued.contains(&word) || (word.starts_with("--") && valued.contains(&with_underscores.as_str()))
    };
    let mut index = 0;
    while let Some(word) = arguments.get(index) {
        match word.as_str() {
            "-c" | "-" if !valued.contains(&word.as_str()) => return Operand::None,
            "--" => return Operand::At(index + 1),
            "-m" | "--module" if !valued.contains(&word.as_str()) => {
                return arguments.get(index + 1).map_or(Operand::None, |module| Operand::Module(module.clone()));
            }
            option if takes_value(option) => index += 2,
            option if option.starts_with('-') => index += 1,
            _ => return Operand::At(index),
        }
    }
    Operand::None
}

fn base_name(word: &str) -> String {
    Path::new(word).file_name().map_or_else(|| word.to_owned(), |name| name.to_string_lossy().into_owned())
}

fn is_script(word: &str) -> bool {
    Path::new(word).extension().and_then(OsStr::to_str).is_some_and(|extension| SCRIPT_EXTENSIONS.contains(&extension))
}

const SCRIPT_EXTENSIONS: [&str; 8] = ["py", "sh", "R", "r", "jl", "js", "pl", "rb"];

/// The name without its directory, and without the extension of a script.
fn stem(word: &str) -> String {
    let name = base_name(word);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && SCRIPT_EXTENSIONS.contains(&extension) => stem.to_owned(),
        Some(_) | None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_scripts_or_the_programs() {
        for (command, name) in [
            ("python train.py", "train"),
            ("python3 -u -X dev train.py --epochs 3", "train"),
            ("/usr/bin/python3.12 -Wignore src/train_churn.py", "train_churn"),
            ("python -m pkg.mod --lr 3", "pkg.mod"),
            ("python -c pass", "python"),
            ("python", "python"),
            ("python -", "python"),
            ("bash run.sh", "run"),
            ("bash -c true", "bash"),
            ("sh -e ./steps/fit.sh x.py", "fit"),
            ("./train", "train"),
            ("./train.v2", "train.v2"),
            ("./train.py", "train"),
            ("/bin/true", "true"),
            ("torchrun --nproc_per_node 2 train.py", "train"),
            ("torchrun --nproc-per-node=2 --nnodes 1 train.py a.py", "train"),
            ("torchrun -m pkg.train", "pkg.train"),
            ("python -m torch.distributed.run --nproc_per_node 2 train.py", "train"),
            ("accelerate launch --num_processes 2 train.py", "train"),
            ("accelerate config", "accelerate"),
            ("deepspeed --num_gpus 2 train.py", "train"),
            ("uv run train.py", "train"),
            ("uv run python train.py", "train"),
            ("uv run -m pkg.mod", "pkg.mod"),
            ("env A=1 nice -n 5 python x.py", "x"),
            ("env -u B A=1 ./fit", "fit"),
            ("env", "env"),
            ("nohup python train.py", "train"),
            ("timeout -k 5s 1h python train.py", "train"),
            ("timeout 1h", "timeout"),
            ("Rscript fit.R", "fit"),
            ("python .py", ".py"),
            ("", ""),
        ] {
            let words: Vec<OsString> = command.split_whitespace().map(OsString::from).collect();
            assert_eq!(default_name(&words), name, "{command}");
        }
    }
}
