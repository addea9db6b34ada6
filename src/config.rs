//! `--config FILE`: a YAML mapping whose keys are flag names. Its entries are put in front of the
//! flags typed by the user, so a typed flag wins.

use std::ffi::OsString;

use serde_yaml::Value;

/// Largest config file that is read.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Why a config file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `--config` stands last, without a file.
    #[error("--config needs a file name")]
    NoFile,
    /// The file cannot be read.
    #[error("cannot read config file {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too large.
    #[error("config file {0} is larger than 1 MiB")]
    TooLarge(String),
    /// The file is not a mapping of flags to plain values or lists of them.
    #[error(
        "config file {path}: {detail}; write one `flag: value` per line, as in `data-dir: /var/lib/kabuki`"
    )]
    Content {
        /// The file.
        path: String,
        /// What is wrong.
        detail: String,
    },
}

/// Replaces `--config FILE` by the flags the file holds.
///
/// # Errors
/// When the file is missing, too large, or holds something else than flags.
pub fn expand_config(args: Vec<OsString>) -> Result<Vec<OsString>, ConfigError> {
    let Some((at, path, width)) = find_config(&args)? else { return Ok(args) };
    let flags = read_flags(&path)?;
    let typed: Vec<String> =
        args.iter().filter_map(|a| a.to_str()).map(flag_name).map(String::from).collect();
    let mut expanded = Vec::with_capacity(args.len() + flags.len());
    expanded.extend_from_slice(&args[..at]);
    for (name, values) in flags {
        if typed.contains(&format!("--{name}")) {
            continue;
        }
        expanded.extend(values.into_iter().map(|v| match v {
            Some(value) => OsString::from(format!("--{name}={value}")),
            None => OsString::from(format!("--{name}")),
        }));
    }
    expanded.extend_from_slice(&args[at + width..]);
    Ok(expanded)
}

fn flag_name(argument: &str) -> &str {
    argument.split_once('=').map_or(argument, |(name, _)| name)
}

fn find_config(args: &[OsString]) -> Result<Option<(usize, String, usize)>, ConfigError> {
    for (at, argument) in args.iter().enumerate() {
        let Some(text) = argument.to_str() else { continue };
        if let Some(path) = text.strip_prefix("--config=") {
            return Ok(Some((at, path.to_string(), 1)));
        }
        if text == "--config" {
            let path = args.get(at + 1).and_then(|a| a.to_str()).ok_or(ConfigError::NoFile)?;
            return Ok(Some((at, path.to_string(), 2)));
        }
    }
    Ok(None)
}

type Flags = Vec<(String, Vec<Option<String>>)>;

fn read_flags(path: &str) -> Result<Flags, ConfigError> {
    let read = |source| ConfigError::Read { path: path.to_string(), source };
    if std::fs::metadata(path).map_err(read)?.len() > CONFIG_BYTES_MAX {
        return Err(ConfigError::TooLarge(path.to_string()));
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    parse_flags(&text).map_err(|detail| ConfigError::Content { path: path.to_string(), detail })
}

fn parse_flags(text: &str) -> Result<Flags, String> {
    let document: Value = serde_yaml::from_str(text).map_err(|e| e.to_string())?;
    let mapping = match document {
        Value::Null => return Ok(Vec::new()),
        Value::Mapping(mapping) => mapping,
        _ => return Err("the top level is not a mapping".to_string()),
    };
    let mut flags = Vec::new();
    for (key, value) in mapping {
        let name = key.as_str().ok_or("a key is not a string")?.to_string();
        let values = match value {
            Value::Bool(true) => vec![None],
            Value::Bool(false) => continue,
            Value::Sequence(items) => items
                .iter()
                .map(|item| {
                    scalar(item)
                        .map(Some)
                        .ok_or(format!("{name}: a list item is not a plain value"))
                })
                .collect::<Result<_, _>>()?,
            other => vec![Some(scalar(&other).ok_or(format!("{name}: not a plain value"))?)],
        };
        flags.push((name, values));
    }
    Ok(flags)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_every_form_are_read() {
        let flags =
            parse_flags("data-dir: /d\napi-port: 7443\ninit: true\nx: false\nlabel: [a=b, c=d]\n")
                .unwrap();
        assert_eq!(flags.len(), 4);
        assert_eq!(flags[2], ("init".to_string(), vec![None]));
        assert_eq!(flags[3].1.len(), 2);
    }

    #[test]
    fn a_typed_flag_wins_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.yaml");
        std::fs::write(&path, "data-dir: /file\napi-port: 1\n").unwrap();
        let args = ["kabuki", "up", "--config", path.to_str().unwrap(), "--data-dir=/typed"];
        let expanded = expand_config(args.iter().map(OsString::from).collect()).unwrap();
        let text: Vec<_> = expanded.iter().map(|a| a.to_str().unwrap()).collect();
        assert_eq!(text, ["kabuki", "up", "--api-port=1", "--data-dir=/typed"]);
    }

    #[test]
    fn bad_files_say_what_is_wrong() {
        for (text, word) in [("- a\n", "mapping"), ("a: {b: c}\n", "plain value"), ("a: [", "")] {
            assert!(parse_flags(text).unwrap_err().contains(word));
        }
        assert!(expand_config(vec!["kabuki".into(), "--config".into()]).is_err());
    }
}
