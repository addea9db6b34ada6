//! The branch of `main` that makes this binary its own shim.

/// Runs the shim when `args` (with the program name first) ask for it and answers its exit code;
/// `None` lets the program go on. Must come first thing in `main`: before any thread, runtime,
/// subscriber or argument parser. The helpers that call libcontainer are forks of the shim and need
/// no branch of their own.
pub fn main_if_shim(args: &[String]) -> Option<i32> {
    match args.get(1).map(String::as_str) {
        Some("shim") => Some(crate::shim::main(&args[2..])),
        _ => None,
    }
}
