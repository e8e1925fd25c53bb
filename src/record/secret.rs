//! Hides secrets in a command before it is recorded: values of options, variables and pairs that are named like a secret, and
//! the userinfo of URLs. Hides too much rather than too little. Pure.

use std::borrow::Cow;
use std::ops::Range;

/// Stands for a secret.
const HIDDEN: &str = "***";

/// The schemes whose user is a login name and may be shown. In all others it may be a token: `https://TOKEN@host`.
const LOGIN_SCHEMES: [&str; 5] = ["postgres", "postgresql", "mysql", "ssh", "sftp"];

/// `--pad-token` and the like name a token of text.
const TEXT_TOKENS: [&str; 13] =
    ["bos", "cls", "end", "eos", "mask", "max", "min", "num", "pad", "sep", "special", "start", "unk"];

/// The words of a command with `***` for its secrets.
pub fn redact_command<'a>(words: impl Iterator<Item = Cow<'a, str>>) -> Vec<String> {
    let mut shown = Vec::new();
    let mut hides_next = false;
    for word in words {
        // psql's `--password` takes no value: another option may follow.
        let is_option = word.starts_with("--") || (word.starts_with('-') && word.len() <= 2);
        if std::mem::take(&mut hides_next) && !is_option {
            shown.push(HIDDEN.to_owned());
            continue;
        }
        hides_next = word.starts_with('-') && word.chars().all(is_of_name) && is_secret(&word);
        shown.push(redact_word(&word));
    }
    shown
}

/// One word, which may be a script, a connection string or JSON.
fn redact_word(word: &str) -> String {
    // A whole word has one value, which may contain anything.
    if let Some((name, value)) = word.split_once('=')
        && name.chars().all(is_of_name)
        && is_secret(name)
    {
        return format!("{name}={}", if value.is_empty() { "" } else { HIDDEN });
    }
    let text = redact_urls(word);
    let mut shown = String::new();
    let mut rest = text.as_str();
    while let Some(Range { start, end }) = secret_value(rest) {
        shown.push_str(&rest[..start]);
        shown.push_str(HIDDEN);
        rest = &rest[end..];
    }
    shown + rest
}

/// The value of the first pair in `text` that is named like a secret: `password=x`, `"token": "x"`, `--api-key x`.
fn secret_value(text: &str) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(start) = text[from..].find(is_of_name).map(|at| from + at) {
        let after = text[start..].find(|character| !is_of_name(character)).map_or(text.len(), |at| start + at);
        let name = &text[start..after];
        from = after;
        if !is_secret(name) {
            continue;
        }
        let value = after + separator(&text[after..], name.starts_with("--"));
        let end = value + if ends_with(name, "authorization") { line(&text[value..]) } else { length(&text[value..]) };
        if value > after && end > value {
            return Some(value..end);
        }
    }
    None
}

/// The length of the separator between a name and its value; 0 if no value follows. The name may be quoted, as in JSON.
fn separator(text: &str, is_option: bool) -> usize {
    let unquoted = text.strip_prefix(['"', '\'']).unwrap_or(text).trim_start();
    let value = match unquoted.strip_prefix(['=', ':']) {
        Some(value) => value.trim_start(),
        None if is_option && !unquoted.starts_with("--") && text.starts_with(char::is_whitespace) => unquoted,
        None => return 0,
    };
    text.len() - value.len()
}

/// The length of the value at the start of `text`: up to its closing quote, a blank, or the name of the next value.
fn length(text: &str) -> usize {
    let quote = text.chars().next().filter(|first| ['"', '\''].contains(first));
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(usize::from(quote.is_some())) {
        let is_end = match quote {
            _ if is_escaped => false,
            Some(quote) if character == quote => return at + 1,
            Some(_) => false,
            None => character.is_whitespace() || (['&', ';', ','].contains(&character) && begins_pair(&text[at + 1..])),
        };
        if is_end {
            return at;
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    text.len()
}

fn line(text: &str) -> usize {
    text.find(['\n', '"', '\'']).unwrap_or(text.len())
}

fn begins_pair(text: &str) -> bool {
    let name = text.trim_start().trim_start_matches(['"', '\'']);
    let after = name.trim_start_matches(is_of_name);
    after.len() < name.len() && after.trim_start_matches(['"', '\'']).trim_start().starts_with(['=', ':'])
}

/// A word with `***` for the userinfo of each URL; of a login name, only for its password.
fn redact_urls(word: &str) -> String {
    let mut pieces = word.split("://");
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let scheme = shown.rsplit(|character: char| !character.is_ascii_alphanumeric() && character != '+').next();
        let scheme = scheme.unwrap_or_default().to_ascii_lowercase();
        let has_login = scheme.split('+').any(|scheme| LOGIN_SCHEMES.contains(&scheme));
        shown.push_str("://");
        let userinfo = userinfo(piece, scheme.contains("http")).unwrap_or(0);
        let user = piece[..userinfo].split_once(':').map_or(&piece[..userinfo], |(user, _password)| user);
        match userinfo {
            0 => {}
            _ if has_login && user.len() == userinfo => shown.push_str(user),
            _ if has_login => shown.extend([user, ":", HIDDEN]),
            _ => shown.push_str(HIDDEN),
        }
        shown.push_str(&piece[userinfo..]);
    }
    shown
}

/// The length of the userinfo at the start of `url`, which has lost its scheme. A password may contain `/`, `?`, `#` and `@`
/// although it should not; the path of a web page may contain `@`.
fn userinfo(url: &str, is_web: bool) -> Option<usize> {
    let url = url.split(char::is_whitespace).next()?;
    let query = url.match_indices('?').find(|(at, _)| begins_pair(&url[at + 1..]));
    let url = query.map_or(url, |(at, _)| &url[..at]);
    let authority = url.split(['/', '?', '#']).next()?;
    let is_port = |text: &str| is_web && text.bytes().all(|byte| byte.is_ascii_digit());
    if authority.contains('@') {
        return if is_web { authority.rfind('@') } else { url.rfind('@') };
    }
    authority.split_once(':').filter(|(_, after)| !is_port(after)).and_then(|_| url.rfind('@'))
}

/// The characters of the names of options, variables and keys: `--db-password`, `PGPASSWORD`, `+logger.api_key`.
fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || ['-', '_', '.', '+'].contains(&character)
}

/// Whether a value with this name is a secret, by the last words of the name: `--token-limit` is none.
fn is_secret(name: &str) -> bool {
    let words = words(name);
    let [before @ .., last] = &words[..] else { return false };
    let previous = before.last().map_or("", String::as_str);
    match last.as_str() {
        "key" => ["api", "access", "secret"].contains(&previous),
        "pwd" => !previous.is_empty(),
        last if last.ends_with("token") => {
            let first = last.strip_suffix("token").filter(|first| !first.is_empty()).unwrap_or(previous);
            !TEXT_TOKENS.contains(&first)
        }
        last => ["password", "passwd", "passphrase", "secret", "apikey", "accesskey", "secretkey", "authorization"]
            .iter()
            .any(|word| last.ends_with(word)),
    }
}

fn ends_with(name: &str, word: &str) -> bool {
    words(name).last().is_some_and(|last| last == word)
}

/// The words of a name, in lower case: `dbPassword` and `DB_PASSWORD` have the same.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for character in name.chars() {
        if !character.is_alphanumeric() || (was_lower && character.is_uppercase()) {
            words.push(String::new());
        }
        was_lower = character.is_lowercase();
        if let Some(word) = words.last_mut() {
            word.extend(character.to_lowercase().filter(|character| character.is_alphanumeric()));
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: &[&str], shown: &[&str]) {
        assert_eq!(redact_command(command.iter().map(|word| Cow::Borrowed(*word))), shown);
    }

    #[test]
    fn password_of_a_url_is_hidden() {
        for (word, shown) in [
            ("postgres://ml:hunter2@h:5432/db?a=b@c", "postgres://ml:***@h:5432/db?a=b@c"),
            ("--db=postgres+asyncpg://ml:a:b@c@h", "--db=postgres+asyncpg://ml:***@h"),
            ("--a=mysql://u:p@h,ssh://v:@h", "--a=mysql://u:***@h,ssh://v:***@h"),
            ("postgres://u:p/x@h", "postgres://u:***@h"),
            ("postgres://u:1/x@h/db", "postgres://u:***@h/db"),
            ("postgres://u:p@a/b?c#d@h/db", "postgres://u:***@h/db"),
            ("https://TOKEN@host/x", "https://***@host/x"),
            ("https://TOKEN:x-oauth-basic@host/x@y", "https://***@host/x@y"),
            ("git+https://u:p/q@host/x", "git+https://***@host/x"),
            ("--url=redis://:p@h/0", "--url=redis://***@h/0"),
            ("psql postgres://u:p@h/db -c 'a@b'", "psql postgres://u:***@h/db -c 'a@b'"),
        ] {
            check(&[word], &[shown]);
        }
    }

    #[test]
    fn value_that_is_named_like_a_secret_is_hidden() {
        for (word, shown) in [
            ("--dsn=postgresql://h/db?user=u&password=a,b&x=1", "--dsn=postgresql://h/db?user=u&password=***&x=1"),
            ("--dsn=postgresql://h/db?password=a@b", "--dsn=postgresql://h/db?password=***"),
            ("host=h password=hunter2 dbname=d", "host=h password=*** dbname=d"),
            (r"host=h password = 'it\'s a' dbname=d", "host=h password = *** dbname=d"),
            (r"host=h password=a\ b dbname=d", "host=h password=*** dbname=d"),
            ("Server=h;Password=a;b;User=u", "Server=h;Password=***;User=u"),
            ("--db-password=a b,c=d", "--db-password=***"),
            ("+logger.apiKey=x", "+logger.apiKey=***"),
            ("WANDB_API_KEY=x", "WANDB_API_KEY=***"),
            ("MYSQL_PWD=x", "MYSQL_PWD=***"),
            (r#"{"user": "u", "token": "a\"b", "n": 1}"#, r#"{"user": "u", "token": ***, "n": 1}"#),
            ("set -e; python t.py --hf_token abc --lr 1", "set -e; python t.py --hf_token *** --lr 1"),
            ("cd x && PGPASSWORD=a python t.py", "cd x && PGPASSWORD=*** python t.py"),
            ("Authorization: Bearer abc", "Authorization: ***"),
            ("--password=", "--password="),
        ] {
            check(&[word], &[shown]);
        }
        check(&["t", "--db-password", "-x y", "--lr", "1"], &["t", "--db-password", "***", "--lr", "1"]);
        check(&["t", "-token", "a", "b"], &["t", "-token", "***", "b"]);
        check(&["psql", "--password", "-h", "h"], &["psql", "--password", "-h", "h"]);
        check(&["psql", "--password", "--host", "h"], &["psql", "--password", "--host", "h"]);
        check(&["t", "--secret-access-key"], &["t", "--secret-access-key"]);
    }

    #[test]
    fn ordinary_words_stay() {
        for word in [
            "https://h/a:b@c",
            "https://h:8080/@scope/x",
            "https://medium.com/@user",
            "ssh://git@h:22/x",
            "postgres://ml@h/db",
            "s3://bucket/a@1",
            "file:///a:b@c",
            "git@h:x/y",
            "a:b@c",
            "://",
            "",
            "--max-tokens=5",
            "--max_token=5",
            "--pad-token=<pad>",
            "--eosToken=2",
            "--tokenizer=gpt2",
            "--password-file=/run/x",
            "--token-limit=5",
            "--primary-key=id",
            "PWD=/x",
            "password",
            "print('secret')",
            "größe=1 übung:2",
        ] {
            check(&[word], &[word]);
        }
        check(&["t", "--max-tokens", "5", "--mask-token", "x"], &["t", "--max-tokens", "5", "--mask-token", "x"]);
    }
}
