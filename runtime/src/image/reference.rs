//! Image names.

use oci_client::Reference;

use crate::error::{Error, Result};

/// Understands an image name and completes it as Docker does.
pub(super) fn parse(name: &str) -> Result<Reference> {
    name.parse::<Reference>().map_err(|e| Error::ImageName {
        reference: name.to_string(),
        reason: format!("{e}; use [registry/]repository[:tag][@digest] in lower case"),
    })
}

/// Whether a registry on this machine itself is meant: plain HTTP is fine there.
pub(super) fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.split(':').next().unwrap_or(registry),
    };
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_completed() {
        let table = [
            ("busybox", "docker.io/library/busybox:latest"),
            ("a/b:1", "docker.io/a/b:1"),
            ("127.0.0.1:5000/x:2", "127.0.0.1:5000/x:2"),
            ("localhost/x", "localhost/x:latest"),
        ];
        for (short, full) in table {
            assert_eq!(parse(short).expect(short).to_string(), full);
        }
        for bad in ["", "UPPER", "a:b:c", "x@sha256:12"] {
            assert!(matches!(parse(bad), Err(Error::ImageName { .. })), "{bad}");
        }
    }

    #[test]
    fn loopback_registries() {
        for yes in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["docker.io", "10.0.0.1:5000", "localhost.example.com", "127.0.0.1.evil"] {
            assert!(!is_loopback(no), "{no}");
        }
    }
}
