#![no_main]

use std::sync::LazyLock;

static DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("directory"));

libfuzzer_sys::fuzz_target!(|data: &[u8]| kabuki_runtime::image::fuzzing::layer(data, DIR.path()));
