//! What earlier releases wrote still opens: see `golden/README.md`.

use std::{fs, path::Path};

use kabuki_raft::{Store, StoreConfig, StoreError, Txn};

/// The member that wrote `golden/v1`.
const V1: (u64, &str) = (616_547_074_301_749, "93c99f03-d891-4ed8-a19e-ab3eb2dfb4d6");

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn golden(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name), dir.path());
    dir
}

fn config(dir: &Path) -> StoreConfig {
    let mut config = StoreConfig::new(dir, V1.0, V1.1);
    config.name = "golden".into();
    config.peer_addr = "127.0.0.1:6444".into();
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_the_first_release_opens_and_goes_on() {
    let dir = golden("v1");
    let key = |name: &str| format!("/registry/core/configmaps/default/golden-{name}");
    for round in 0..2 {
        let store = Store::open(config(dir.path())).await.unwrap();
        store.initialize().await.unwrap();
        assert!(store.revision() >= 82, "{}", store.revision());
        let found = |name: &str| store.get(&key(name)).map(|record| record.mod_revision);
        assert_eq!(
            (found("1"), found("2"), found("3"), found("4")),
            (Some(77), None, Some(81), Some(82))
        );
        // History is read as well: what was deleted was there before.
        let then = store.list_at("/registry/core/configmaps/default/", 79, None, 0).await.unwrap();
        assert!(then.records.iter().any(|record| *record.key == key("2")), "{then:?}");
        assert_eq!(store.get("/registry/new").is_some(), round > 0);
        store.write(Txn::put("/registry/new", "by this release")).await.unwrap();
        if round == 0 {
            // Its own entry in the membership gets the fields the first release did not know.
            store.announce().await;
            assert_eq!(store.members().await[0].name, "golden");
        }
        store.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_a_later_release_is_refused() {
    let dir = golden("v1");
    let path = dir.path().join("identity.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"layout\":1", "\"layout\":2");
    fs::write(&path, text).unwrap();
    let error = Store::open(config(dir.path())).await.unwrap_err();
    assert!(matches!(error, StoreError::Open(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("written by a newer kabuki; upgrade this member"), "{text}");
}
