//! Signal names of images and lifecycle specifications.

use nix::sys::signal::Signal;

/// The number of a signal given as `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`; `None` when it is empty
/// or no signal.
pub fn parse(name: &str) -> Option<i32> {
    let upper = name.trim().to_ascii_uppercase();
    if let Ok(number) = upper.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    if let Some(offset) = full.strip_prefix("SIGRTMIN") {
        let offset: i32 = if offset.is_empty() { 0 } else { offset.parse().ok()? };
        let number = libc::SIGRTMIN() + offset;
        return (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number).then_some(number);
    }
    full.parse::<Signal>().ok().map(|s| s as i32)
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_and_numbers() {
        let table = [
            ("SIGTERM", Some(15)),
            ("quit", Some(3)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(libc::SIGRTMIN() + 3)),
            ("", None),
            ("99", None),
            ("SIGNOPE", None),
        ];
        for (name, number) in table {
            assert_eq!(super::parse(name), number, "{name}");
        }
    }
}
