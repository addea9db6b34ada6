//! Collects what the API's definitions and fields mean, for the OpenAPI documents, from the sources
//! of the dependency `k8s-openapi`. Its feature `schemars` would give the same at run time, for a
//! second of build and megabytes of code more.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The version whose schemas are read; the feature of the dependency names the same.
const API: &str = "src/v1_36";
/// The field table: only what it names is described.
const TABLE: &str = "api/src/schema/messages.txt";

fn main() {
    for input in ["build.rs", "Cargo.lock", TABLE] {
        println!("cargo::rerun-if-changed={input}");
    }
    let mut texts = BTreeMap::new();
    match dependency() {
        Some(sources) => collect(&sources.join(API), &wanted(), &mut texts),
        None => println!("cargo::warning=k8s-openapi is not found: OpenAPI has no descriptions"),
    }
    let mut out = String::new();
    for (key, text) in texts {
        out += &format!("{key}\t{text}\u{1e}");
    }
    let path = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("descriptions.txt");
    if let Err(error) = fs::write(&path, out) {
        println!("cargo::error=cannot write {}: {error}", path.display());
    }
}

/// Where cargo has the sources of the dependency.
fn dependency() -> Option<PathBuf> {
    let output = Command::new(env::var_os("CARGO")?)
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform"])
        .arg(env::var_os("TARGET")?)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let manifests = text.split(r#""manifest_path":""#).skip(1);
    let mut manifests = manifests.filter_map(|rest| rest.split('"').next());
    let found = manifests.find(|path| {
        let directory = Path::new(path).parent().and_then(Path::file_name);
        directory.is_some_and(|name| {
            let name = name.to_string_lossy();
            name == "k8s-openapi" || name.starts_with("k8s-openapi-0")
        })
    })?;
    Path::new(found).parent().map(Path::to_path_buf)
}

/// The messages of the field table, without their group.
fn wanted() -> BTreeSet<String> {
    let text = fs::read_to_string(TABLE).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("= ")).map(str::to_owned).collect()
}

fn collect(path: &Path, wanted: &BTreeSet<String>, texts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, wanted, texts);
        } else if let Ok(text) = fs::read_to_string(&path) {
            schema(&text, wanted, texts);
        }
    }
}

/// Reads the schema of one definition. The file is generated: its indentation tells the type
/// (three steps) from its fields (four) and what is said of them (five).
fn schema(text: &str, wanted: &BTreeSet<String>, texts: &mut BTreeMap<String, String>) {
    let Some((_, schema)) = text.split_once("fn schema_name()") else { return };
    let Some(name) = schema.split('"').nth(1).filter(|name| is_wanted(name, wanted)) else {
        return;
    };
    let mut field = "";
    for line in schema.lines() {
        let inner = line.trim_start();
        let text = inner.strip_prefix("\"description\": \"").and_then(|t| t.strip_suffix("\","));
        let set = r#"schema_obj.ensure_object().insert("description".into(), ""#;
        let text = text.or_else(|| inner.strip_prefix(set)?.strip_suffix("\".into());"));
        match (line.len() - inner.len(), text) {
            (12, Some(text)) => {
                texts.entry(format!("{name}\t")).or_insert_with(|| unescape(text));
            }
            (16, None) if inner.starts_with('"') => {
                field = inner.split('"').nth(1).unwrap_or_default();
            }
            (20, Some(text)) if !field.is_empty() => {
                texts.entry(format!("{name}\t{field}")).or_insert_with(|| unescape(text));
            }
            _ => {}
        }
    }
}

/// Whether the field table has it, or all documents do.
fn is_wanted(name: &str, wanted: &BTreeSet<String>) -> bool {
    let known = |message: &str| {
        wanted.iter().any(|w| message.strip_suffix(w.as_str()).is_some_and(|r| r.ends_with('.')))
    };
    name.starts_with("io.k8s.apimachinery.") || known(name)
}

/// A Rust string literal's content as text.
fn unescape(literal: &str) -> String {
    let mut out = String::with_capacity(literal.len());
    let mut chars = literal.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push(' '),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}
