//! `--encryption-provider-config`: Secrets encrypted at rest, and keys that rotate.

use std::path::Path;

use serde_json::{Value, json};

use crate::server::{Server, refused};

const FLAGS: [&str; 1] = ["--encryption-provider-config=DIR/encryption.yaml"];
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const FIRST: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const SECOND: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

fn config(dir: &Path, keys: &[(&str, &str)]) {
    let keys: Vec<String> =
        keys.iter().map(|(name, secret)| format!("{{name: {name}, secret: {secret}}}")).collect();
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [secrets]\n  providers:\n  - aesgcm: {{keys: [{}]}}\n  - identity: {{}}\n",
        keys.join(", ")
    );
    std::fs::write(dir.join("encryption.yaml"), text).expect("configuration");
}

/// Whether any file of the store holds these bytes.
fn on_disk(server: &Server, wanted: &str) -> bool {
    fn look(dir: &Path, wanted: &[u8]) -> bool {
        std::fs::read_dir(dir).expect("directory").map(|e| e.expect("entry").path()).any(|path| {
            if path.is_dir() {
                return look(&path, wanted);
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            bytes.windows(wanted.len()).any(|w| w == wanted)
        })
    }
    look(&server.path("data"), wanted.as_bytes())
}

fn secret(name: &str, text: &str) -> Value {
    use base64::Engine;
    let data = base64::engine::general_purpose::STANDARD.encode(text);
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"k": data}})
}

#[test]
fn secrets_are_encrypted_and_keys_rotate() {
    // Before: what is written in plain text stays readable.
    let mut server = Server::start(|dir| config(dir, &[("first", FIRST)]), &FLAGS);
    let one = secret("one", "plaintext-of-the-secret-one");
    let shown = one["data"]["k"].as_str().expect("data").to_owned();
    assert_eq!(server.post(SECRETS, &one).code, 201);
    let marker = json!({"metadata": {"name": "m"}, "data": {"k": "marker-of-a-configmap"}});
    assert_eq!(server.post("/api/v1/namespaces/default/configmaps", &marker).code, 201);
    let watched = server.get(&format!("{SECRETS}?watch=true&timeoutSeconds=1&resourceVersion=0"));
    assert!(watched.body.to_string().contains(&shown), "{watched:?}");
    server.stop();
    assert!(on_disk(&server, "marker-of-a-configmap"), "the search finds what is there");
    assert!(!on_disk(&server, &shown), "the plain text is on disk");
    assert!(on_disk(&server, "k8s:enc:aesgcm:v1:first:"));

    // A second key that writes; the first only reads.
    config(server.dir.path(), &[("second", SECOND), ("first", FIRST)]);
    server.run();
    let read = server.get(&format!("{SECRETS}/one")).body;
    assert_eq!(read["data"]["k"], shown);
    assert_eq!(server.post(SECRETS, &secret("two", "plaintext-of-the-secret-two")).code, 201);
    // `kubectl get secrets -o json | kubectl replace -f -`: nothing changes but the form on disk.
    let path = format!("{SECRETS}/one");
    let replaced = server.send("PUT", &path, &[], Some(&read)).body;
    assert_ne!(replaced["metadata"]["resourceVersion"], read["metadata"]["resourceVersion"]);
    let again = server.send("PUT", &path, &[], Some(&replaced)).body;
    assert_eq!(again["metadata"]["resourceVersion"], replaced["metadata"]["resourceVersion"]);
    assert_eq!(server.post(SECRETS, &secret("three", "plaintext-of-the-secret-three")).code, 201);
    server.stop();

    // Without the first key everything can be read still.
    config(server.dir.path(), &[("second", SECOND)]);
    server.run();
    for name in ["one", "two", "three"] {
        let read = server.get(&format!("{SECRETS}/{name}"));
        assert_eq!(read.code, 200, "{read:?}");
    }
    server.stop();

    // Without the second, only what the first wrote meanwhile.
    config(server.dir.path(), &[("first", FIRST)]);
    server.run();
    assert_eq!(server.post(SECRETS, &secret("four", "plaintext-of-the-secret-four")).code, 201);
    let lost = server.get(&path);
    assert_eq!((lost.code, &lost.body["reason"]), (500, &json!("InternalError")));
    let message = lost.body["message"].as_str().expect("message");
    assert!(message.contains("unable to transform key \"/registry/core/secrets/default/one\""));
    assert_eq!(server.send("PUT", &path, &[], Some(&one)).code, 500);
    assert_eq!(server.get(&format!("{SECRETS}/four")).code, 200);
    assert_eq!(server.get("/api/v1/namespaces/default/configmaps/m").code, 200);
    let watched = server.get(&format!("{SECRETS}?watch=true&timeoutSeconds=1&resourceVersion=0"));
    let seen = watched.body.to_string();
    assert!(seen.contains("four") && !seen.contains("k8s:enc"), "{seen}");
    server.stop();
}

#[test]
fn bad_configurations_are_refused_at_start() {
    let said = refused(|dir| config(dir, &[("a", "c2hvcnQ=")]), &FLAGS);
    assert!(said.contains("aesgcm.keys[0].secret: Invalid value: it has 5 bytes"), "{said}");
    assert!(!said.contains("c2hvcnQ="), "a key is not shown");
}
