#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kabuki_actors::link::fuzzing::header(data));
