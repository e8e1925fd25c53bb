//! The default name of a run: the script or module that its command runs, else its program. Pure.
//! Must not grow into a table of launchers: `--name` covers them.

use std::ffi::OsString;
use std::path::Path;

/// Programs that run the command that follows their own options, each with those options that take a value.
const PREFIXES: [(&str, &[&str]); 7] = [
    ("env", &["-u", "-C", "--unset", "--chdir"]),
    ("ionice", &["-c", "-n", "--class", "--classdata"]),
    ("nice", &["-n", "--adjustment"]),
    ("nohup", &[]),
    ("setsid", &[]),
    ("stdbuf", &["-i", "-o", "-e", "--input", "--output", "--error"]),
    ("time", &["-f", "-o", "--format", "--output"]),
];

const PYTHON_OPTIONS_WITH_VALUE: [&str; 3] = ["-X", "-W", "--check-hash-based-pycs"];

const SCRIPT_EXTENSIONS: [&str; 8] = ["py", "sh", "R", "r", "jl", "js", "pl", "rb"];

/// `train` for `python -u train.py`, `./train`, `nice ./train.sh` and `torchrun --nnodes 1 train.py`; `pkg.mod` for `python -m pkg.mod`.
/// Empty only if the command is.
pub fn default_name(command: &[OsString]) -> String {
    let words: Vec<String> = command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut rest: &[String] = &words;
    while let Some((program, arguments)) = rest.split_first() {
        let name = file_name(program);
        let Some((_, with_value)) = PREFIXES.iter().find(|(prefix, _)| *prefix == name) else {
            return script(&name, arguments).unwrap_or_else(|| stem(program));
        };
        let mut wrapped = skip_options(arguments, with_value);
        if name == "env" {
            let assignments = wrapped.iter().take_while(|word| word.contains('=')).count();
            wrapped = &wrapped[assignments..];
        }
        if wrapped.is_empty() {
            return stem(program);
        }
        rest = wrapped;
    }
    String::new()
}

/// The script or module that `program` runs; `None` if it runs none, or is not known to run any.
fn script(program: &str, arguments: &[String]) -> Option<String> {
    // python3, python3.12, pypy3
    let family = program.trim_end_matches(|last: char| last.is_ascii_digit() || last == '.');
    match family {
        "python" | "pypy" => python_script(arguments),
        // Its options have many values, but none of them is a Python file.
        "torchrun" => arguments.iter().enumerate().find_map(|(index, word)| match word.as_str() {
            "-m" | "--module" => arguments.get(index + 1).cloned(),
            word => Path::new(word).extension().is_some_and(|extension| extension == "py").then(|| stem(word)),
        }),
        _ => None,
    }
}

fn python_script(arguments: &[String]) -> Option<String> {
    match skip_options(arguments, &PYTHON_OPTIONS_WITH_VALUE) {
        [option, module, rest @ ..] if option == "-m" => match module.as_str() {
            "torch.distributed.run" | "torch.distributed.launch" => script("torchrun", rest),
            module => Some(module.to_owned()),
        },
        [script, ..] if !script.starts_with('-') => Some(stem(script)),
        _ => None,
    }
}

/// The words after the options. `-m`, `-c` and `-` end them: the next word is a module, code or standard input.
fn skip_options<'a>(mut words: &'a [String], with_value: &[&str]) -> &'a [String] {
    while let [option, rest @ ..] = words {
        match option.as_str() {
            "--" => return rest,
            option if with_value.contains(&option) => words = rest.get(1..).unwrap_or_default(),
            "-m" | "-c" | "-" => break,
            option if option.starts_with('-') => words = rest,
            _ => break,
        }
    }
    words
}

fn file_name(word: &str) -> String {
    Path::new(word).file_name().map_or_else(|| word.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The name without its directory, and without the extension of a script.
fn stem(word: &str) -> String {
    let name = file_name(word);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && SCRIPT_EXTENSIONS.contains(&extension) => stem.to_owned(),
        Some(_) | None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_the_script_or_the_program() {
        for (command, name) in [
            ("python train.py", "train"),
            ("python3 -u -X dev train.py --epochs 3", "train"),
            ("/usr/bin/python3.12 -Wignore src/train_churn.py", "train_churn"),
            ("python -m pkg.mod --lr 3", "pkg.mod"),
            ("python -c pass", "python"),
            ("python -c pass a.py", "python"),
            ("python -m", "python"),
            ("python", "python"),
            ("python -", "python"),
            ("python -X", "python"),
            ("bash run.sh", "bash"),
            ("./train", "train"),
            ("./train.v2", "train.v2"),
            ("./train.py", "train"),
            ("./steps/fit.sh x.py", "fit"),
            ("/bin/true", "true"),
            ("torchrun --nproc_per_node 2 train.py", "train"),
            ("torchrun --nproc-per-node=2 --nnodes 1 train.py a.py", "train"),
            ("torchrun -m pkg.train", "pkg.train"),
            ("torchrun --help", "torchrun"),
            ("python -m torch.distributed.run --nproc_per_node 2 train.py", "train"),
            ("accelerate launch train.py", "accelerate"),
            ("env A=1 nice -n 5 python x.py", "x"),
            ("env -u B A=1 ./fit", "fit"),
            ("env", "env"),
            ("nice -n", "nice"),
            ("nohup python train.py", "train"),
            ("time -o times stdbuf -oL ./fit.sh", "fit"),
            ("python .py", ".py"),
            ("", ""),
        ] {
            let words: Vec<OsString> = command.split_whitespace().map(OsString::from).collect();
            assert_eq!(default_name(&words), name, "{command}");
        }
    }
}
