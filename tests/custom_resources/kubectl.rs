//! The same with kubectl, old and new.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Server, crontab, crontabs};

/// The oldest and the newest kubectl beside the one on PATH, or that one.
fn programs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|d| d.join("kubectl")).find(|p| p.is_file());
    let Some(found) = found else {
        eprintln!("skipped: there is no kubectl on PATH");
        return Vec::new();
    };
    let real = std::fs::canonicalize(&found).unwrap_or(found);
    let beside = ["kubectl.1.27", "kubectl.1.33"].map(|name| real.with_file_name(name));
    let versions: Vec<PathBuf> = beside.into_iter().filter(|p| p.is_file()).collect();
    if versions.is_empty() { vec![real] } else { versions }
}

#[test]
fn kubectl_works_with_custom_kinds() {
    let programs = programs();
    if programs.is_empty() {
        return;
    }
    let server = Server::start(|_| {}, &[]);
    for program in programs {
        everything(&server, &program);
    }
}

fn everything(server: &Server, program: &Path) {
    let run = |line: &str| {
        let (text, ok) = server.kubectl(program, line);
        assert!(ok, "{} {line}\n{text}", program.display());
        text
    };
    let fails = |line: &str| {
        let (text, ok) = server.kubectl(program, line);
        assert!(!ok, "{} {line}\n{text}", program.display());
        text
    };
    let file = |name: &str, value: &serde_json::Value| {
        let path = server.path(name);
        std::fs::write(&path, value.to_string()).expect("file");
        path.display().to_string()
    };
    let definition = file("definition.json", &crontabs());
    run(&format!("apply -f {definition}"));
    run("wait --for=condition=Established crd/crontabs.stable.example.com --timeout=20s");
    let tab = file("tab.json", &crontab("a"));
    assert!(run(&format!("apply -f {tab}")).contains("crontab.stable.example.com/a created"));
    assert!(run(&format!("apply -f {tab}")).contains("unchanged"));
    let mut wrong = crontab("wrong");
    wrong["spec"]["cronSpec"] = json!("x");
    wrong["spec"]["foo"] = json!(1);
    let wrong_file = file("wrong.json", &wrong);
    let text = fails(&format!("apply -f {wrong_file}"));
    assert!(text.contains("unknown field \"spec.foo\""), "{text}");
    let text = fails(&format!("apply --validate=ignore -f {wrong_file}"));
    assert!(text.contains("spec.cronSpec in body should match '^\\d+$'"), "{text}");
    let shown = run("get ct");
    assert!(shown.starts_with("NAME   SPEC   REPLICAS   AGE\na      5      1 "), "{shown}");
    assert!(run("get all").contains("crontab.stable.example.com/a"));
    let explained = run("explain crontab.spec.cronSpec");
    assert!(explained.contains("When."), "{explained}");
    run("scale ct/a --replicas=3");
    assert_eq!(run("get ct a -o jsonpath={.spec.replicas}"), "3");
    run("patch ct a --subresource=status --type=merge -p {\"status\":{\"replicas\":3}}");
    assert_eq!(run("get ct a -o jsonpath={.status.replicas}"), "3");
    let mut applied = crontab("a");
    applied["spec"]["replicas"] = json!(5);
    let applied = file("applied.json", &applied);
    let text = fails(&format!("apply --server-side --field-manager=other -f {applied}"));
    assert!(text.contains(".spec.replicas"), "{text}");
    run(&format!("apply --server-side --field-manager=other --force-conflicts -f {applied}"));
    assert_eq!(run("get ct a -o jsonpath={.spec.replicas}"), "5");
    let mut changed = crontab("a");
    changed["spec"]["image"] = json!("new");
    let changed = file("changed.json", &changed);
    assert!(run(&format!("apply -f {changed}")).contains("configured"));
    assert_eq!(run("get ct a -o jsonpath={.spec.image}"), "new");
    assert!(run("get crd").contains("crontabs.stable.example.com"));
    assert!(run("describe ct a").contains("Kind:         CronTab"));
    run("delete crd crontabs.stable.example.com --timeout=20s");
    let text = fails("get ct");
    // Some ask discovery anew, some still know the name.
    let texts = ["doesn't have a resource type \"ct\"", "could not find the requested resource"];
    assert!(texts.iter().any(|wanted| text.contains(wanted)), "{text}");
}
