//! The manual pages: one for the program and one for each verb, complete, and rendered without a warning.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::site::{Site, output};

/// Of each page.
const SECTIONS: [&str; 6] = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"];

#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let printed = output(&mut Site::sqlite().runwrap(arguments));
    assert!(printed.status.success() && printed.stderr.is_empty(), "{arguments:?}: {printed:?}");
    String::from_utf8(printed.stdout).unwrap()
}

/// The verbs that the help lists.
fn verbs() -> Vec<String> {
    let help = printed(&["help"]);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A line that is indented further continues a text.
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
    names.map(str::to_owned).collect()
}

/// The standard output of `program` for `page`, of which it must not complain.
#[track_caller]
fn rendered(program: &[&str], page: &str) -> String {
    let mut renderer = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = renderer.stdin.take().unwrap();
    // Each renderer reads to the end before it fills a pipe with its output.
    stdin.write_all(page.as_bytes()).unwrap();
    drop(stdin);
    let result = renderer.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&result.stderr), "", "{program:?}");
    String::from_utf8(result.stdout).unwrap()
}

/// The page as plain text. Wide, so that no word is broken.
fn text_of(page: &str) -> String {
    rendered(&["groff", "-man", "-ww", "-Tascii", "-rLL=1000n", "-P-cbou"], page)
}

fn long_flags(text: &str) -> BTreeSet<&str> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 2).collect()
}

#[test]
fn each_verb_has_a_page_with_its_options_and_statuses() {
    let verbs = verbs();
    assert!(verbs.len() >= 10, "{verbs:?}");
    for verb in &verbs {
        let page = text_of(&printed(&["man", verb]));
        let lines: Vec<&str> = page.lines().collect();
        for section in SECTIONS {
            assert!(lines.contains(&section), "{verb}: no {section} in\n{page}");
        }
        if page.contains("--database-url") {
            assert!(lines.contains(&"ENVIRONMENT") && lines.contains(&"FILES"), "{verb}:\n{page}");
        }
        assert!(lines[0].starts_with(&format!("runwrap-{verb}(1) ")), "{}", lines[0]);
        let help = printed(&["help", verb]);
        let missing: Vec<_> = long_flags(&help).difference(&long_flags(&page)).copied().collect();
        assert_eq!(missing, Vec::<&str>::new(), "{verb}");
    }
}

#[test]
fn page_of_the_program_names_verbs_variables_and_statuses() {
    let page = text_of(&printed(&["man"]));
    for section in SECTIONS.into_iter().chain(["VERBS", "ENVIRONMENT", "FILES", "EXAMPLES"]) {
        assert!(page.lines().any(|line| line == section), "no {section} in\n{page}");
    }
    let help = printed(&["help"]);
    assert_eq!(long_flags(&help).difference(&long_flags(&page)).count(), 0);
    for verb in verbs() {
        assert!(page.contains(&format!("\n       runwrap-{verb}(1)\n")), "{verb}:\n{page}");
    }
    for text in [
        "RUNWRAP_DATABASE_URL_FILE\n",
        "RUNWRAP_REPORT\n",
        "PGPASSWORD",
        "config.toml\n",
        "\n       75     ",
        "\n       124    ",
        "\n       127    ",
        "[env:RUNWRAP_HEARTBEAT]",
    ] {
        assert!(page.contains(text), "{text:?} is not in\n{page}");
    }
}

#[test]
fn pages_are_rendered_without_a_warning() {
    let verbs = verbs();
    for verb in [None].into_iter().chain(verbs.iter().map(Some)) {
        let arguments: Vec<&str> = ["man"].into_iter().chain(verb.map(String::as_str)).collect();
        let page = printed(&arguments);
        assert!(page.is_ascii(), "{verb:?}");
        for device in ["-Tutf8", "-Tascii"] {
            rendered(&["groff", "-man", "-ww", "-b", device], &page);
        }
        let complaints = rendered(&["mandoc", "-Tlint", "-Wwarning"], &page);
        // A date would differ from build to build.
        let complaints: Vec<&str> =
            complaints.lines().filter(|line| !line.contains("WARNING: missing date, using \"\"")).collect();
        assert_eq!(complaints, Vec::<&str>::new(), "{verb:?}");
    }
}
