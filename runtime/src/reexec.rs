//! The branch of `main` that makes this binary its own shim.

/// Runs the shim when `args` (with the program name first) ask for it and answers its exit code;
/// `None` lets the program go on. Must come first thing in `main`: before any thread, runtime,
/// subscriber or argument parser.
pub fn main_if_shim(args: &[String]) -> Option<i32> {
    match args.get(1).map(String::as_str) {
        Some("shim") => Some(2),
        _ => None,
    }
}
