//! Letters that kill: strikes against one and the same letter, and the letters set aside for it.
//!
//! A letter that made its actor panic is gone, but whoever sent it may send it again: a watch that
//! lists anew delivers the same object, a timer the same tick. The kernel counts such deaths in a
//! row. The second makes the letter poison, which is reported. Where letters have an identity
//! ([`super::Performer::identity`]) poison does not count against the supervisor, and from the third
//! death on the letter is set aside unread for a while, so that the others are handled.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Deaths in a row by the same letter that make it poison.
pub const POISON_STRIKES: u32 = 2;
/// Deaths in a row after which a letter with an identity is set aside.
pub const SET_ASIDE_STRIKES: u32 = 3;
/// How long it is set aside; then it gets one more try.
pub const SET_ASIDE_TIME: Duration = Duration::from_secs(300);
/// Identities one actor sets aside at once; the oldest gives way.
pub const MAX_SET_ASIDE: usize = 64;
/// Deaths further apart than this are not "in a row".
const STRIKE_MEMORY: Duration = Duration::from_secs(600);

/// What makes two letters the same: their type and, where the actor gives one, their identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub name: &'static str,
    pub key: Option<String>,
}

#[derive(Debug)]
struct Aside {
    what: Identity,
    until: Instant,
}

/// The record of one actor.
#[derive(Debug, Default)]
pub(crate) struct Poison {
    last: Option<(Identity, u32, Instant)>,
    aside: VecDeque<Aside>,
}

impl Poison {
    /// The actor died handling `what`; returns how many times in a row that was so.
    pub(crate) fn strike(&mut self, what: Identity, now: Instant) -> u32 {
        let strikes = match &self.last {
            Some((last, n, at)) if *last == what && now.duration_since(*at) < STRIKE_MEMORY => {
                n.saturating_add(1)
            }
            _ => 1,
        };
        if strikes >= SET_ASIDE_STRIKES && what.key.is_some() {
            self.aside.retain(|a| a.what != what);
            if self.aside.len() == MAX_SET_ASIDE {
                self.aside.pop_front();
            }
            self.aside.push_back(Aside { what: what.clone(), until: now + SET_ASIDE_TIME });
        }
        self.last = Some((what, strikes, now));
        strikes
    }

    /// The actor died of something that is no letter.
    pub(crate) fn other_death(&mut self) {
        self.last = None;
    }

    pub(crate) fn is_aside(&mut self, what: &Identity, now: Instant) -> bool {
        self.aside.retain(|a| a.until > now);
        self.aside.iter().any(|a| a.what == *what)
    }

    /// Identities set aside now.
    pub(crate) fn shown(&self) -> Vec<String> {
        let key = |a: &Aside| a.what.key.clone().unwrap_or_default();
        self.aside.iter().map(key).collect()
    }

    pub(crate) fn any_aside(&self) -> bool {
        !self.aside.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(key: &str) -> Identity {
        Identity { name: "Note", key: (!key.is_empty()).then(|| key.to_owned()) }
    }

    #[test]
    fn strikes_count_only_in_a_row() {
        let (mut p, now) = (Poison::default(), Instant::now());
        assert_eq!(p.strike(letter("a"), now), 1);
        assert_eq!(p.strike(letter("b"), now), 1);
        assert_eq!(p.strike(letter("a"), now), 1);
        assert_eq!(p.strike(letter("a"), now + STRIKE_MEMORY), 1, "too long ago");
        p.other_death();
        assert_eq!(p.strike(letter("a"), now), 1);
    }

    #[test]
    fn only_letters_with_an_identity_are_set_aside_and_not_for_ever() {
        let (mut p, now) = (Poison::default(), Instant::now());
        for what in ["", "a"] {
            for _ in 0..SET_ASIDE_STRIKES {
                p.strike(letter(what), now);
            }
        }
        assert!(!p.is_aside(&letter(""), now));
        assert!(p.is_aside(&letter("a"), now));
        assert_eq!(p.shown(), ["a"]);
        assert!(!p.is_aside(&letter("a"), now + SET_ASIDE_TIME));
    }

    #[test]
    fn what_is_set_aside_is_bounded() {
        let (mut p, now) = (Poison::default(), Instant::now());
        for n in 0..MAX_SET_ASIDE + 10 {
            for _ in 0..SET_ASIDE_STRIKES {
                p.strike(letter(&n.to_string()), now);
            }
        }
        assert_eq!(p.aside.len(), MAX_SET_ASIDE);
    }
}
