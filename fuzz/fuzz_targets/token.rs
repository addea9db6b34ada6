#![no_main]

// The file itself: building the whole program for it would take many times as long.
#[path = "../../src/join/token.rs"]
mod join;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kabuki_actors::auth::fuzzing::bearer(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(token) = text.parse::<join::JoinToken>()
    {
        assert_eq!(token.to_string(), text.trim());
        assert_eq!(token.bearer(), format!("{}.{}", token.id, token.secret));
        assert!(!format!("{token:?}").contains(&token.secret));
    }
});
