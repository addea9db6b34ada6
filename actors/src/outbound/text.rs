//! What went wrong with a call, in the words of Go's client: people search for them.

use std::error::Error;

/// Characters of an answer's body that an error shows.
const BODY_CHARS_MAX: usize = 2_048;

/// Why no answer came.
pub fn transport_text(error: &(dyn Error + 'static)) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut last = String::new();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            if let Some(tls) = tls_error(io) {
                return tls_text(tls);
            }
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => {
                    return "dial tcp: connect: connection refused".to_owned();
                }
                std::io::ErrorKind::UnexpectedEof => return "EOF".to_owned(),
                std::io::ErrorKind::ConnectionReset => {
                    return "read: connection reset by peer".to_owned();
                }
                _ => {}
            }
        }
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return tls_text(tls);
        }
        last = inner.to_string();
        cause = inner.source();
    }
    last
}

/// The error of TLS inside an I/O error, which may be inside another one.
fn tls_error(io: &std::io::Error) -> Option<&rustls::Error> {
    let inner = io.get_ref()?;
    let nested = inner.downcast_ref::<std::io::Error>().and_then(tls_error);
    inner.downcast_ref::<rustls::Error>().or(nested)
}

fn tls_text(error: &rustls::Error) -> String {
    use rustls::{CertificateError as Bad, Error::InvalidCertificate};
    const PREFIX: &str = "tls: failed to verify certificate: x509:";
    match error {
        // Another authority of the same name is unknown as well.
        InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            format!("{PREFIX} certificate signed by unknown authority")
        }
        InvalidCertificate(Bad::NotValidForNameContext { expected, presented }) => {
            let wanted = expected.to_str();
            let shown: Vec<_> = presented.iter().filter_map(|n| n.split('"').nth(1)).collect();
            if shown.is_empty() {
                format!(
                    "{PREFIX} certificate is not valid for any names, but wanted to match {wanted}"
                )
            } else {
                format!("{PREFIX} certificate is valid for {}, not {wanted}", shown.join(", "))
            }
        }
        InvalidCertificate(
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. },
        ) => format!("{PREFIX} certificate has expired or is not yet valid"),
        other => format!("tls: {other}"),
    }
}

/// What an answer that is no success means (apimachinery `pkg/api/errors` `NewGenericServerResponse`).
pub fn server_text(status: u16, body: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(body).trim().chars().take(BODY_CHARS_MAX).collect();
    match status {
        400 => "the server rejected our request for an unknown reason".to_owned(),
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 if shown.is_empty() => {
            "the server does not allow access to the requested resource".to_owned()
        }
        403 => shown,
        404 => "the server could not find the requested resource".to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        409 => "the server reported a conflict".to_owned(),
        422 => "the server rejected our request due to an error in our request".to_owned(),
        429 => "the server has received too many requests and has asked us to try again later"
            .to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        504 => "the server was unable to return a response in the time allotted, but may still be \
                processing the request"
            .to_owned(),
        500.. => {
            format!("an error on the server ({shown:?}) has prevented the request from succeeding")
        }
        other => format!(
            "the server responded with the status code {other} but did not return more information"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_without_success_have_upstreams_words() {
        for (status, body, want) in [
            (404, "x", "the server could not find the requested resource"),
            (
                500,
                "boom\n",
                r#"an error on the server ("boom") has prevented the request from succeeding"#,
            ),
            (
                302,
                "",
                "the server responded with the status code 302 but did not return more information",
            ),
        ] {
            assert_eq!(server_text(status, body.as_bytes()), want);
        }
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(transport_text(&refused).ends_with("connect: connection refused"));
        let unknown = rustls::CertificateError::UnknownIssuer;
        let tls = std::io::Error::other(rustls::Error::InvalidCertificate(unknown));
        let text = transport_text(&std::io::Error::other(tls));
        assert!(text.ends_with("x509: certificate signed by unknown authority"), "{text}");
    }
}
