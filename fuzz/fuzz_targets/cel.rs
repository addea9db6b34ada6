#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kabuki_api::fuzzing::cel(data));
